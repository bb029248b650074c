package sealing_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands/sealing"
)

// A key in a URL's query is a secret as one in a header: sealed with its URL, masked wherever it turns up.
func TestSeal_URLsWithSecrets(t *testing.T) {
	s := newSession()
	seal := func(in string, o sealing.Options) string {
		v, _, err := s.Seal(t.Context(), []byte(in), o)
		require.NoError(t, err)
		require.NotContains(t, string(v.JSON), key)
		return s.shape(t, v)
	}
	intake := sealing.Options{Intake: true}
	require.JSONEq(t, `{"url":"https://h/p?page_token=abcdefghijkl&max_tokens=5"}`, seal(`{"url":"https://h/p?page_token=abcdefghijkl&max_tokens=5"}`, intake))
	require.JSONEq(t, `{"url":"https://h/p?x=1","doc":"ask https://h/?token=sk-in-prose-0123"}`, seal(`{"url":"https://h/p?x=1","doc":"ask https://h/?token=sk-in-prose-0123"}`, intake))
	require.JSONEq(t, `{"url":"https://h/?api_key={{ input.k }}"}`, seal(`{"url":"https://h/?api_key={{ input.k }}"}`, intake))
	require.JSONEq(t, `{"link":"https://h/f?token=sk-of-a-link-0123"}`, seal(`{"link":"https://h/f?token=sk-of-a-link-0123"}`, sealing.Options{}), "a result may be a link to show")
	require.JSONEq(t, `{"url":"***","n":1}`, seal(`{"url":"https://h/p?x=1&api%5Fkey=`+key+`#top","n":1}`, intake))
	require.JSONEq(t, `{"url":"***"}`, seal(`{"url":"http://h?token=short"}`, intake))
	require.JSONEq(t, `{"said":"***","path":"/p?x=1"}`, seal(`{"said":"the key `+key+` is wrong","path":"/p?x=1"}`, sealing.Options{}), "the key alone is known")
}
