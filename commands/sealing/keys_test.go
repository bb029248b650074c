package sealing_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands/sealing"
)

// The table that decides what is sealed. A key that moves from one list to the other changes what
// stands in logs and frames: say so in the changelog.
func TestSecretKey(t *testing.T) {
	secret := []string{
		"api_key", "apikey", "apiKey", "APIKey", "API_KEY", "api-key", "api key", "x-api-key", "X-API-Key", "XApiKey",
		"apiKeys", "api_keys", "openai_api_key", "OPENAI_API_KEY", "openaiApiKey", "anthropic.api.key", "api_key_1",
		"lyzr_api_key", "api_key_value", "authorization", "Authorization", "AUTHORIZATION", "proxy-authorization",
		"Proxy-Authorization", "HEADER_Authorization", "HEADER_x-api-key", "BODY_token", "QUERY_api_key",
		"authorization_header", "authorization_code", "cookie", "Cookie", "cookies", "set-cookie", "Set-Cookie",
		"session_cookie", "password", "Password", "db_password", "passwordHash", "user.password", "password2",
		"one_time_password", "passwd", "pwd", "passphrase", "passcode", "psk", "secret", "secrets", "client_secret",
		"clientSecret", "clientsecret", "webhook_secret", "aws_secret_access_key", "secretKey", "secret_id",
		"token", "Token", "access_token", "accessToken", "accesstoken", "refresh_token", "refreshToken", "id_token",
		"auth_token", "X-Auth-Token", "x-csrf-token", "github_token", "token_value", "session_token", "oauth2_token",
		"access_tokens", "refresh_tokens", "bearer", "bearer_token", "jwt", "private_key", "privateKey", "privatekey",
		"private-key", "credential", "credentials", "aws_access_key", "signing_key", "encryption_key",
		"account_key", "ssh_key", "auth_key", "_token_", "--password--",
	}
	for _, k := range secret {
		require.True(t, sealing.SecretKey(k), "%q holds a secret", k)
	}
	innocent := []string{
		"", "_", "42", "key", "keys", "name", "id", "url", "message", "model", "max_tokens", "maxTokens", "max_token",
		"token_count", "tokenCount", "tokens", "prompt_tokens", "completion_tokens", "total_tokens", "input_tokens",
		"output_tokens", "cached_tokens", "reasoning_tokens", "max_completion_tokens", "tokens_used", "token_usage",
		"token_limit", "token_type", "token_url", "token_endpoint", "tokenizer", "tokenization", "stop_token",
		"next_page_token", "nextPageToken", "page_token", "next_token", "continuation_token", "sync_token",
		"idempotency_token", "time_to_first_token", "price_per_token", "public_key", "primary_key", "foreign_key",
		"partition_key", "sort_key", "keyboard", "monkey", "access_key_id", "api_key_id", "api_key_name",
		"secret_name", "secret_url", "secretary", "secretariat", "unauthorized", "authorized", "author",
		"authorization_url", "authorization_endpoint", "password_policy", "password_hint", "passwordless",
		"has_password", "requires_password", "show_password", "use_cookies", "cookie_consent",
		"cookie_name", "cookie_policy", "is_token_valid", "session_id", "user_id", "agent_id", "compass", "bypass",
		"access", "private", "auth", "author_key", "credential_type", "credential_ids", "bearing",
	}
	for _, k := range innocent {
		require.False(t, sealing.SecretKey(k), "%q holds no secret", k)
	}
}

func BenchmarkSecretKey(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if sealing.SecretKey("conversation_history") || !sealing.SecretKey("openai_api_key") {
			b.Fatal("wrong")
		}
	}
}
