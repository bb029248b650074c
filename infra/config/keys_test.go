package config

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKeys_AreReadFromEverySource(t *testing.T) {
	const plain, other = "0123456789abcdef", "0123456789ABCDEF"
	hashed := fmt.Sprintf("%x", sha256.Sum256([]byte(other)))
	text := " ci:" + plain + ", ops.a-b_C:sha256:" + hashed + " ,ci:" + strings.Repeat("~", 256)
	want := []APIKey{
		{"ci", sha256.Sum256([]byte(plain)), plain},
		{"ops.a-b_C", sha256.Sum256([]byte(other)), ""},
		{"ci", sha256.Sum256([]byte(strings.Repeat("~", 256))), Secret(strings.Repeat("~", 256))},
	}
	path := file(t, `{"api_keys":["ci:`+plain+`","ops.a-b_C:sha256:`+hashed+`","ci:`+strings.Repeat("~", 256)+`"]}`)
	for _, source := range []func() (Invocation, error){
		func() (Invocation, error) { return load(t, []string{"serve", "--api-keys", text}) },
		func() (Invocation, error) { return load(t, []string{"serve"}, "QUIPU_API_KEYS="+text) },
		func() (Invocation, error) { return load(t, []string{"serve", "--config", path}) },
	} {
		inv, err := source()
		require.NoError(t, err)
		require.Equal(t, want, inv.Config.Guard.Keys())
		require.Contains(t, inv.Config.Redacted(), "api_keys=***\n")
		require.NotContains(t, fmt.Sprintf("%+v %v", inv.Config, inv.Config.Guard.Keys()), plain)
	}
	require.Empty(t, Default().Guard.Keys())
}

// What is wrong is said by place: whatever the text is, it may be a key.
func TestKeys_Refused(t *testing.T) {
	const key = "hunter2-hunter2-hunter2"
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte(key)))
	for text, fault := range map[string]string{
		key:                                   "entry 1 does not begin with a name and a colon",
		":" + key:                             "entry 1 does not begin with a name and a colon",
		"a b:" + key:                          "entry 1 does not begin with a name and a colon",
		strings.Repeat("n", 65) + ":" + key:   "entry 1 does not begin with a name and a colon",
		"a:" + key[:15]:                       "entry 1 has a key that is too short",
		"a:":                                  "entry 1 has a key that is too short",
		"a:" + strings.Repeat("hunter2-", 33): "entry 1 has a key that is too long",
		"a:" + key + "/":                      "entry 1 has a key with a character",
		"a:" + key + "é":                      "entry 1 has a key with a character",
		"a:" + key + ":" + key:                "entry 1 has a key with a character",
		"a:sha256:" + hash[1:]:                "entry 1 has no SHA-256 after sha256:",
		"a:sha256:" + key:                     "entry 1 has no SHA-256 after sha256:",
		"a:" + key + ",b:sha256:" + hash:      "entry 2 has the key of another name",
		strings.TrimSuffix(strings.Repeat("a:"+key+",", 101), ","): "entry 101 is one more than the 100",
	} {
		_, err := load(t, []string{"serve"}, "QUIPU_API_KEYS="+text)
		require.ErrorContains(t, err, "api_keys: "+fault, text)
		require.NotContains(t, err.Error(), "hunter2")
		require.NotContains(t, err.Error(), hash)
	}
	c := Default()
	c.Guard.APIKeys = Secret("a:" + key + ",a:" + key)
	require.NoError(t, c.Validate(), "the same twice harms nobody")
	require.Len(t, c.Guard.Keys(), 1)
}

// An API that anybody on the network can use needs somebody to say so.
func TestValidate_OpenToOthers(t *testing.T) {
	for _, addr := range []string{":8080", "0.0.0.0:8080", "[::]:8080", "192.0.2.1:80", "quipu.example:80"} {
		_, err := load(t, []string{"serve", "--addr", addr})
		require.ErrorContains(t, err, "QUIPU_API_KEYS=name:key")
		require.ErrorContains(t, err, "--insecure")
		require.ErrorContains(t, err, "127.0.0.1")
		_, err = load(t, []string{"serve", "--addr", addr, "--insecure"})
		require.NoError(t, err)
		inv, err := load(t, []string{"serve", "--addr", addr}, "QUIPU_API_KEYS=a:0123456789abcdef")
		require.NoError(t, err)
		require.False(t, inv.Config.LAOIsOpen(), "LAO's routes need a key there")
		inv.Config.Guard.LAOOpen = "yes"
		require.True(t, inv.Config.LAOIsOpen())
	}
	require.True(t, Default().LAOIsOpen())
	c := Default()
	c.Guard.LAOOpen = "no"
	require.False(t, c.LAOIsOpen())
}

// The key that a client sends is no setting of a server.
func TestLoad_APIKeyOfClients(t *testing.T) {
	for _, command := range []string{"watch f r", "views verify --server h:1"} {
		inv, err := load(t, strings.Fields(command), "QUIPU_API_KEY=k1")
		require.NoError(t, err)
		require.Equal(t, Secret("k1"), inv.APIKey+inv.Watch.APIKey)
		require.Empty(t, inv.Warnings)
		inv, err = load(t, append(strings.Fields(command), "--api-key=k2"), "QUIPU_API_KEY=k1")
		require.NoError(t, err)
		require.Equal(t, Secret("k2"), inv.APIKey+inv.Watch.APIKey)
		require.NotContains(t, fmt.Sprintf("%+v", inv), "k2")
	}
}
