package agnt5_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/readapi/agnt5"
)

// published is the message of the AGNT5 page.
const published = `{
  "name": "search-candidates",
  "parameters": {
    "user_query": "Full stack engineer with 10+ years of experience",
    "organization_id": "272e9e73-fe36-4ea1-acf6-4ea08d21aa0c",
    "filters": {}
  },
  "metadata": {},
  "connection_id": "ws_c2GDFfT7bywQZW4He6CNFw"
}`

func parsed(t testing.TB, message string) agnt5.Message {
	t.Helper()
	m, refusal := agnt5.Parse([]byte(message))
	require.Nil(t, refusal, message)
	return m
}

func TestS1_9_10_11_PublishedMessage(t *testing.T) {
	m := parsed(t, published)
	require.Equal(t, agnt5.Start, m.Kind)
	require.Equal(t, "search-candidates", m.Name)
	require.Equal(t, "ws_c2GDFfT7bywQZW4He6CNFw", m.ConnectionID)
	require.JSONEq(t, `{}`, string(m.Metadata))
	require.Contains(t, string(m.Parameters), `"filters": {}`)
}

func TestParse_WhatMayBeLeftOut(t *testing.T) {
	for _, message := range []string{
		`{"name":"a"}`, `{"type":"start","name":"a","parameters":null,"metadata":null,"connection_id":null}`, ` {"name":"a","later":{"x":1}} `,
	} {
		require.Equal(t, agnt5.Message{Name: "a", Parameters: []byte("{}")}, parsed(t, message), message)
	}
}

func TestParse_BytesInAreBytesOut(t *testing.T) {
	m := parsed(t, `{"name":"\u00e9","parameters":{"n": 1e400, "s":"\u0041<"},"metadata":{"idempotency_key":"k 1","x":-0}}`)
	require.Equal(t, "é", m.Name)
	require.Equal(t, `{"n": 1e400, "s":"\u0041<"}`, string(m.Parameters))
	require.Equal(t, `{"idempotency_key":"k 1","x":-0}`, string(m.Metadata))
	require.Equal(t, "k 1", m.IdempotencyKey)
}

func TestParse_OtherKinds(t *testing.T) {
	for message, want := range map[string]agnt5.Message{
		`{"type":"ping","x":1}`: {Kind: agnt5.Ping},
		`{"type":"cancel","execution_id":"exec_1","reason":"late"}`:        {Kind: agnt5.Cancel, ExecutionID: "1", Reason: "late"},
		`{"type":"resume","connection_id":"ws_1"}`:                         {Kind: agnt5.Resume, ConnectionID: "ws_1"},
		`{"type":"resume","execution_id":"1","from":7}`:                    {Kind: agnt5.Resume, ExecutionID: "1", Cursor: agnt5.Cursor{Offset: 7}},
		`{"type":"resume","execution_id":"1","after":-1}`:                  {Kind: agnt5.Resume, ExecutionID: "1"},
		`{"type":"resume","execution_id":"1","after":"7"}`:                 {Kind: agnt5.Resume, ExecutionID: "1", Cursor: agnt5.Cursor{Offset: 8}},
		`{"type":"resume","execution_id":"1","after":"0:1","from":null}`:   {Kind: agnt5.Resume, ExecutionID: "1", Cursor: agnt5.Cursor{Part: 1}},
		`{"type":"resume","connection_id":"ws_1","execution_id":"exec_é"}`: {Kind: agnt5.Resume, ConnectionID: "ws_1", ExecutionID: "é"},
	} {
		require.Equal(t, want, parsed(t, message), message)
	}
}

// Every fault is named with its place, and no value is quoted.
func TestD13_FaultsOfMessages(t *testing.T) {
	long := strings.Repeat("x", 600)
	for message, fields := range map[string][]string{
		``:               {""},
		`nonsense`:       {""},
		`[]`:             {""},
		`"s"`:            {""},
		`{"name":"a"} x`: {""},
		`{"name":"a","parameters":{"a":1,"a":2}}`: {"/parameters"},
		`{}`:                           {"/name"},
		`{"name":7}`:                   {"/name"},
		`{"name":""}`:                  {"/name"},
		`{"name":"a\nb"}`:              {"/name"},
		`{"name":"\ud800"}`:            {"/name"},
		`{"name":"` + long + `"}`:      {"/name"},
		`{"name":"a","parameters":[]}`: {"/parameters"},
		`{"parameters":"S3CRET","metadata":7,"connection_id":{}}`:    {"/name", "/parameters", "/connection_id", "/metadata"},
		`{"name":"a","metadata":{"idempotency_key":7}}`:              {"/metadata/idempotency_key"},
		`{"name":"a","metadata":{"idempotency_key":"` + long + `"}}`: {"/metadata/idempotency_key"},
		`{"name":"a","connection_id":"` + long + `"}`:                {"/connection_id"},
		`{"type":"resume"}`:                                             {"/connection_id"},
		`{"type":"resume","execution_id":""}`:                           {"/execution_id"},
		`{"type":"resume","execution_id":"exec_"}`:                      {"/execution_id"},
		`{"type":"resume","execution_id":"1","from":-1}`:                {"/from"},
		`{"type":"resume","execution_id":"1","from":1.5}`:               {"/from"},
		`{"type":"resume","execution_id":"1","from":"1"}`:               {"/from"},
		`{"type":"resume","execution_id":"1","from":99999999999999999}`: {"/from"},
		`{"type":"resume","execution_id":"1","from":1,"after":1}`:       {"/after"},
		`{"type":"resume","execution_id":"1","after":"1:0"}`:            {"/after"},
		`{"type":"resume","execution_id":"1","after":"-1:1"}`:           {"/after"},
		`{"type":"resume","execution_id":"1","after":-2}`:               {"/after"},
		`{"type":"resume","execution_id":"1","after":[]}`:               {"/after"},
		`{"type":"cancel"}`:                                             {"/execution_id"},
		`{"type":"cancel","execution_id":7,"reason":7}`:                 {"/execution_id", "/reason"},
	} {
		_, refusal := agnt5.Parse([]byte(message))
		require.NotNil(t, refusal, message)
		require.Equal(t, agnt5.CodeInvalidMessage, refusal.Code, message)
		var got []string
		for _, f := range refusal.Faults {
			got = append(got, f.Field)
			require.NotContains(t, f.Message, "S3CRET")
		}
		require.Equal(t, fields, got, message)
		require.NotContains(t, refusal.Message, "S3CRET")
	}
	for _, message := range []string{`{"type":"stop"}`, `{"type":7}`, `{"type":"","name":"a"}`, `{"type":"PING"}`} {
		_, refusal := agnt5.Parse([]byte(message))
		require.NotNil(t, refusal, message)
		require.Equal(t, agnt5.CodeUnknownType, refusal.Code, message)
	}
}

// A refusal names the message it is about, as far as that could be read.
func TestRefusal_Frame(t *testing.T) {
	_, refusal := agnt5.Parse([]byte(`{"connection_id":"ws_1","metadata":{"idempotency_key":"k"}}`))
	require.NotNil(t, refusal)
	b := agnt5.AppendRefusal(nil, at(0), refusal)
	require.JSONEq(t, `{"type":"error","data":{"timestamp":"2025-09-02T09:42:05.043Z","execution_id":"","details":{
		"code":"INVALID_MESSAGE","message":"/name is missing; write the name of a workflow","connection_id":"ws_1","idempotency_key":"k",
		"errors":[{"field":"/name","message":"is missing; write the name of a workflow"}]}}}`, string(b))
	require.JSONEq(t, `{"type":"pong","data":{"timestamp":"2025-09-02T09:42:05.043Z","execution_id":"","details":{}}}`, string(agnt5.AppendPong(nil, at(0))))
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		published, `{"type":"ping"}`, `{"type":"cancel","execution_id":"exec_1"}`, `{"type":"resume","connection_id":"ws_1","after":"3:1"}`,
		`{"name":"a","metadata":{"idempotency_key":"k"}}`, `{"name":"\ud800"}`, `[[[[`, `{"a":1,"a":2}`, "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		m, refusal := agnt5.Parse(b)
		require.Equal(t, before, b, "the input was written to")
		if refusal != nil {
			require.NotEmpty(t, refusal.Faults)
			require.True(t, json.Valid(agnt5.AppendRefusal(nil, at(0), refusal)))
			return
		}
		require.True(t, json.Valid(b))
		if m.Kind == agnt5.Start {
			require.NotEmpty(t, m.Name)
			require.True(t, json.Valid(m.Parameters))
		}
		require.GreaterOrEqual(t, int64(m.Cursor.Offset), int64(0))
	})
}
