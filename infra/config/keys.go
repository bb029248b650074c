package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
)

// The bounds of api-keys. A key is an HTTP token, because browsers send it as a subprotocol.
const (
	apiKeysMax          = 100
	apiKeyBytesMin      = 16
	apiKeyBytesMax      = 256
	apiKeyNameBytesMax  = 64
	apiKeyHashPrefix    = "sha256:"
	apiKeyTokenSpecials = "-_.~!#$%&'*+^|`"
)

// APIKey is one entry of api-keys.
type APIKey struct {
	Name   string
	SHA256 [sha256.Size]byte // of the key
	Plain  Secret            // empty if the configuration holds the hash alone
}

// Keys reads APIKeys. What Validate would refuse is left out.
func (g Guard) Keys() []APIKey {
	keys, _ := parseAPIKeys(g.APIKeys.Reveal())
	return keys
}

// parseAPIKeys reads name:key and name:sha256:hex entries. No problem repeats any of the text: a
// name may be a key that stands in the wrong place.
func parseAPIKeys(text string) (keys []APIKey, ps Problems) {
	add := func(n int, fault, fix string) {
		ps = append(ps, Problem{"api_keys", fmt.Sprintf("entry %d %s", n, fault), fix})
	}
	owner := map[[sha256.Size]byte]string{}
	for i, entry := range splitList(text) {
		n := i + 1
		if n > apiKeysMax {
			add(n, fmt.Sprintf("is one more than the %d there may be", apiKeysMax), "remove keys that nobody uses")
			return keys, ps
		}
		name, rest, found := strings.Cut(entry, ":")
		if !found || !apiKeyNameOK(name) {
			add(n, "does not begin with a name and a colon", fmt.Sprintf("write name:key, the name of 1 to %d letters, digits and -_.", apiKeyNameBytesMax))
			continue
		}
		key := APIKey{Name: name}
		if hash, hashed := strings.CutPrefix(rest, apiKeyHashPrefix); hashed {
			sum, err := hex.DecodeString(hash)
			if err != nil || len(sum) != sha256.Size {
				add(n, "has no SHA-256 after sha256:", "write its 64 hex digits, as sha256sum prints them for the key without a line end")
				continue
			}
			key.SHA256 = [sha256.Size]byte(sum)
		} else if fault := apiKeyFault(rest); fault != "" {
			add(n, fault, fmt.Sprintf("write %d to %d letters, digits and %s, such as the output of: openssl rand -hex 24", apiKeyBytesMin, apiKeyBytesMax, apiKeyTokenSpecials))
			continue
		} else {
			key.SHA256, key.Plain = sha256.Sum256([]byte(rest)), Secret(rest)
		}
		if other, twice := owner[key.SHA256]; twice {
			if other != key.Name {
				add(n, "has the key of another name", "give each name keys of its own, so that events tell who did what")
			}
			continue
		}
		owner[key.SHA256] = key.Name
		keys = append(keys, key)
	}
	return keys, ps
}

func apiKeyNameOK(name string) bool {
	return name != "" && len(name) <= apiKeyNameBytesMax && strings.IndexFunc(name, func(r rune) bool {
		return !alphanumeric(r) && !strings.ContainsRune("-_.", r)
	}) < 0
}

func apiKeyFault(key string) string {
	switch {
	case len(key) < apiKeyBytesMin:
		return "has a key that is too short to be safe"
	case len(key) > apiKeyBytesMax:
		return "has a key that is too long"
	case strings.IndexFunc(key, func(r rune) bool { return !alphanumeric(r) && !strings.ContainsRune(apiKeyTokenSpecials, r) }) >= 0:
		return "has a key with a character that browsers cannot send"
	}
	return ""
}

func alphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// checkGuard reports what is wrong with who may call.
func (c Config) checkGuard() Problems {
	keys, ps := parseAPIKeys(c.Guard.APIKeys.Reveal())
	for _, host := range c.Guard.Hosts {
		if host != "*" && (strings.ContainsAny(host, "/@ ") || strings.Contains(host, ":") && net.ParseIP(host) == nil) {
			ps = append(ps, Problem{"hosts", fmt.Sprintf("%q is not a host name", host), "write names without scheme and port, such as quipu.example.com, or * for any"})
		}
	}
	_, _, err := net.SplitHostPort(c.HTTP.Addr)
	if len(keys) == 0 && len(ps) == 0 && err == nil && !c.Guard.Insecure && !c.HTTP.ServesLoopbackOnly() {
		ps = append(ps, Problem{
			"api_keys", fmt.Sprintf("is empty, and addr %q can be reached from other machines", c.HTTP.Addr),
			"set QUIPU_API_KEYS=name:key, or listen on a loopback address such as 127.0.0.1:8080, or say --insecure if whoever reaches the server may do everything",
		})
	}
	return ps
}
