package sealing

// class says what a word does to a key.
type class uint16

const (
	saysSecret   class = 1 << iota // holds a secret wherever it stands: password, cookie
	describes                      // as last word the key describes a secret: secret_name, token_type
	asks                           // as first word the key asks or counts: has_password, max_tokens
	beforeKey                      // with "key" after it a secret: api key, private key
	key                            // key, keys
	token                          // token
	tokens                         // tokens: a count, unless a beforeTokens stands before it
	notBefore                      // before "token" it is a cursor or a text unit: next_page_token
	beforeTokens                   // access tokens, refresh tokens
	filler                         // stands beside the words above in placeholders: YOUR_API_KEY
)

var words = wordClasses()

func wordClasses() map[string]class {
	m := make(map[string]class)
	add := func(c class, ws ...string) {
		for _, w := range ws {
			m[w] |= c
		}
	}
	add(saysSecret, "password", "passwords", "passwd", "pwd", "passphrase", "passcode", "passkey", "psk",
		"secret", "secrets", "authorization", "authorizations", "cookie", "cookies", "credential",
		"credentials", "bearer", "jwt",
		// Words that people write together.
		"apikey", "apikeys", "xapikey", "apitoken", "authtoken", "accesstoken", "refreshtoken",
		"idtoken", "sessiontoken", "bearertoken", "clientsecret", "secretkey", "accesskey",
		"privatekey", "setcookie", "proxyauthorization")
	add(describes, "count", "counts", "limit", "limits", "max", "min", "usage", "used", "length",
		"size", "type", "types", "name", "names", "id", "ids", "url", "urls", "uri", "endpoint", "endpoints",
		"expires", "expiry", "expiration", "ttl", "at", "in", "budget", "rate", "index", "position",
		"field", "prefix", "policy", "required", "enabled", "hint", "version", "format", "status",
		"algorithm", "alg", "encoding", "scheme", "kind", "env", "placeholder", "label", "description",
		"title", "path", "price", "cost", "consent")
	add(asks, "is", "has", "use", "uses", "need", "needs", "require", "requires", "show", "hide", "allow",
		"allows", "enable", "max", "min", "num", "count", "total")
	add(beforeKey, "api", "private", "secret", "access", "signing", "encryption", "master", "account",
		"shared", "subscription", "license", "auth", "ssh", "service", "webhook", "hmac")
	add(key, "key", "keys")
	add(token, "token")
	add(tokens, "tokens")
	add(notBefore, "page", "next", "previous", "continuation", "sync", "cursor", "delta", "resume", "stop",
		"start", "end", "eos", "bos", "pad", "unk", "special", "first", "last", "per", "max", "min",
		"prompt", "completion", "input", "output", "total", "idempotency")
	add(beforeTokens, "access", "refresh", "auth", "api", "bearer", "session", "id", "secret", "csrf")
	add(filler, "your", "my", "the", "x", "here", "enter", "insert", "example", "client", "proxy", "set")
	return m
}

// SecretKey reports whether the whole words of an object key say that strings below it are secrets.
//
// Words are split at anything but letters and digits, at camelCase humps and at digits; case does
// not matter. Cursors (next_page_token) and counts (max_tokens, tokens) are not secrets, and
// neither are keys that describe one (token_type, secret_name); access_key_id is public, while
// secret_id (Vault AppRole) is a secret.
func SecretKey(k string) bool {
	var few [16]class
	var stack [64]byte
	classes, idLast := classify(k, few[:0], stack[:0])
	n := len(classes)
	if n == 0 || classes[0]&asks != 0 && n > 1 {
		return false
	}
	if classes[n-1]&describes != 0 {
		return idLast && n == 2 && classes[0]&saysSecret != 0 && classes[0]&beforeKey != 0 // secret_id
	}
	for i, c := range classes {
		before, after := class(0), class(0)
		if i > 0 {
			before = classes[i-1]
		}
		if i+1 < n {
			after = classes[i+1]
		}
		switch {
		case c&saysSecret != 0,
			c&key != 0 && before&beforeKey != 0,
			c&token != 0 && before&notBefore == 0 && after&describes == 0,
			c&tokens != 0 && before&beforeTokens != 0:
			return true
		}
	}
	return false
}

// classify returns the class of each word of k that is not a number, and whether the last is "id".
// lower is scratch space.
func classify(k string, classes []class, lower []byte) ([]class, bool) {
	idLast := false
	for i := 0; i < len(k); {
		if kindOfByte(k[i]) == other {
			i++
			continue
		}
		end := wordEnd(k, i)
		if kindOfByte(k[i]) != digit {
			lower = lower[:0]
			for _, c := range []byte(k[i:end]) {
				if c >= 'A' && c <= 'Z' {
					c += 'a' - 'A'
				}
				lower = append(lower, c)
			}
			classes = append(classes, words[string(lower)])
			idLast = string(lower) == "id"
		}
		i = end
	}
	return classes, idLast
}

type byteKind uint8

const (
	other byteKind = iota
	lowerLetter
	upperLetter
	digit
)

func kindOfByte(c byte) byteKind {
	switch {
	case c >= 'a' && c <= 'z' || c >= 0x80:
		return lowerLetter
	case c >= 'A' && c <= 'Z':
		return upperLetter
	case c >= '0' && c <= '9':
		return digit
	}
	return other
}

// wordEnd returns the end of the word that starts at k[i]. A run of capitals is one word, except
// that its last one starts the next if a small letter follows: APIKey is API, Key.
func wordEnd(k string, i int) int {
	j := i + 1
	switch kindOfByte(k[i]) {
	case digit:
		for j < len(k) && kindOfByte(k[j]) == digit {
			j++
		}
		return j
	case upperLetter:
		for j < len(k) && kindOfByte(k[j]) == upperLetter {
			j++
		}
		if j < len(k) && kindOfByte(k[j]) == lowerLetter && j-i > 1 {
			return j - 1
		}
	}
	for j < len(k) && kindOfByte(k[j]) == lowerLetter {
		j++
	}
	return j
}

// innocentMembers are members that describe the secret they stand beside: {"authorization":
// {"type": "basic", …}}. Sealing them would make words like "string" known secrets.
var innocentMembers = map[string]bool{
	"type": true, "kind": true, "scheme": true, "in": true, "name": true, "header": true, "prefix": true,
	"provider": true, "title": true, "label": true, "description": true, "format": true, "pattern": true,
	"placeholder": true, "$ref": true,
}

// schemaValues are the members of a JSON Schema that can hold a value of what it describes.
var schemaValues = map[string]bool{
	"default": true, "const": true, "enum": true, "example": true, "examples": true, "value": true,
}

var schemaTypes = map[string]bool{
	"string": true, "object": true, "array": true, "number": true, "integer": true, "boolean": true, "null": true,
}

// placeholder reports whether text consists of words about secrets only, like "YOUR_API_KEY" or
// "password". It is sealed in its place, but looking for it inside other strings would seal half
// of all texts.
func placeholder(text string) bool {
	if len(text) > 64 {
		return false
	}
	var few [16]class
	var stack [64]byte
	classes, _ := classify(text, few[:0], stack[:0])
	for _, c := range classes {
		if c&(saysSecret|beforeKey|key|token|tokens|filler) == 0 {
			return false
		}
	}
	for i := range len(text) {
		if kindOfByte(text[i]) == digit {
			return false
		}
	}
	return len(classes) > 0
}
