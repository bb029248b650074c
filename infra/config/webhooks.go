package config

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
)

// The bounds of the webhooks' file.
const (
	webhooksMax          = 100
	webhooksFileBytesMax = 1 << 20
	webhookListMax       = 100 // types, and workflows, of one
	webhookKeyBytesMin   = 24
	webhookKeyBytesMax   = 64
	webhookSecretPrefix  = "whsec_"
)

// Webhook is one entry of the webhooks' file.
type Webhook struct {
	Name string `json:"name"`
	// URL may hold a token.
	URL Secret `json:"url"`
	// Secret signs; PreviousSecret signs beside it while receivers change over.
	Secret         Secret   `json:"secret"`
	PreviousSecret Secret   `json:"previous_secret"`
	Types          []string `json:"types"`
	Workflows      []string `json:"workflows"`
	// From is "now" or "start".
	From string `json:"from"`
}

// ReadWebhooks reads the file that Webhooks.File names; "" gives none.
// Errors: all that is wrong with the file, as Problems that hold neither a secret nor a URL.
func ReadWebhooks(path string) ([]Webhook, error) {
	if path == "" {
		return nil, nil
	}
	raw, err := readBounded(path)
	if err != nil {
		return nil, Problems{{"webhooks", "cannot be read: " + err.Error(), "name a file of at most 1 MiB that the server may read"}}
	}
	list, ps := parseWebhooks(raw)
	return list, ps.err()
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		var of *os.PathError
		if errors.As(err, &of) {
			err = of.Err
		}
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, webhooksFileBytesMax+1))
	if err == nil && len(raw) > webhooksFileBytesMax {
		err = errors.New("it is too large")
	}
	return raw, errors.Join(err, f.Close())
}

func parseWebhooks(raw []byte) ([]Webhook, Problems) {
	var list []Webhook
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	err := dec.Decode(&list)
	if err == nil {
		if _, more := dec.Token(); more != io.EOF {
			err = errors.New("something follows the list")
		}
	}
	if err != nil {
		// The decoder's words name fields and types, and no values but the kind of one.
		return nil, Problems{{"webhooks", "is not a JSON list of webhooks: " + err.Error(), `write [{"name": …, "url": …, "secret": …}], see docs/webhooks.md`}}
	}
	var ps Problems
	if len(list) > webhooksMax {
		return nil, Problems{{"webhooks", fmt.Sprintf("has %d entries", len(list)), fmt.Sprintf("keep at most %d", webhooksMax)}}
	}
	names := map[string]bool{}
	for i, w := range list {
		add := func(field, fault, fix string) {
			ps = append(ps, Problem{fmt.Sprintf("webhooks[%d].%s", i, field), fault, fix})
		}
		if !webhookNameOK(w.Name) {
			add("name", "is not a name", "write 1 to 64 of a-z, 0-9, dot, dash and underscore, beginning with a letter or digit")
		} else if names[w.Name] {
			add("name", fmt.Sprintf("%q stands twice", w.Name), "give each webhook a name of its own, and keep it: its checkpoint goes by it")
		}
		names[w.Name] = true
		u, err := url.Parse(w.URL.Reveal())
		switch {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			add("url", "is not an http or https URL", "write it like https://example.com/hooks/quipu")
		case u.User != nil:
			add("url", "holds a user name or password", "leave it out; receivers check the signature")
		}
		if !webhookSecretOK(w.Secret) {
			add("secret", "is not a signing secret", "write whsec_ and the base64 of 24 to 64 random bytes, such as: echo whsec_$(openssl rand -base64 32)")
		}
		if w.PreviousSecret != "" && !webhookSecretOK(w.PreviousSecret) {
			add("previous_secret", "is not a signing secret", "write the one that was used before, or leave it out")
		}
		for field, items := range map[string][]string{"types": w.Types, "workflows": w.Workflows} {
			if len(items) > webhookListMax {
				add(field, fmt.Sprintf("has %d entries", len(items)), fmt.Sprintf("keep at most %d; leave it out for all", webhookListMax))
			}
		}
		for j, t := range w.Types {
			if t == "" || len(t) > 128 || strings.Contains(strings.TrimSuffix(t, "*"), "*") {
				add(fmt.Sprintf("types[%d]", j), "is not a type of events", `write one such as run.completed.v1, run.completed, or run.* for all that begin so`)
			}
		}
		for j, id := range w.Workflows {
			if id == "" || len(id) > 512 {
				add(fmt.Sprintf("workflows[%d]", j), "is not the id of a workflow", "leave workflows out for all")
			}
		}
		if w.From != "" && w.From != "now" && w.From != "start" {
			add("from", fmt.Sprintf("%.20q is not known", w.From), `write "now", or "start" to post what the log holds already`)
		}
	}
	if len(ps) > 0 {
		return nil, ps
	}
	return list, nil
}

func webhookNameOK(name string) bool {
	return name != "" && len(name) <= 64 && strings.IndexByte("._-", name[0]) < 0 &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

func webhookSecretOK(s Secret) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.Reveal(), webhookSecretPrefix))
	return err == nil && len(key) >= webhookKeyBytesMin && len(key) <= webhookKeyBytesMax
}
