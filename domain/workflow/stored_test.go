package workflow_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quipu/domain"
	"quipu/domain/workflow"
)

func instant(n int) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(n) * time.Second)
}

func content(name string) workflow.Content {
	return workflow.Content{Name: name, Endpoint: "default", Graph: domain.Raw([]byte(`{"nodes":[],"edges":[]}`))}
}

// folded is the state after commands, each of which must be accepted.
func folded(t require.TestingT, commands ...workflow.StoredCommand) workflow.Stored {
	s := workflow.NewStored()
	for _, c := range commands {
		events, err := s.Decide(c)
		require.NoError(t, err)
		s = after(t, s, events)
	}
	return s
}

func after(t require.TestingT, s workflow.Stored, events []workflow.StoredEvent) workflow.Stored {
	for _, e := range events {
		var err error
		s, err = s.Fold(workflow.StoredFact{Revision: s.Revision + 1, At: instant(int(s.Revision) + 1), Event: e})
		require.NoError(t, err)
	}
	return s
}

func code(err error) string {
	var e *domain.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestStored_LifeOfAWorkflow(t *testing.T) {
	secret := domain.Secret{ID: "s1", FP: "f", Ciphertext: "AAAA"}
	s := folded(t, workflow.Create{ID: "w", Content: content("a"), Secrets: []domain.Secret{secret}})
	want := workflow.Stored{
		Phase: workflow.StoredActive, ID: "w", Content: content("a"), Revision: 0, CreatedAt: instant(0), UpdatedAt: instant(0),
		Secrets: []domain.Secret{secret},
	}
	require.Empty(t, cmp.Diff(want, s))
	require.Equal(t, 1, s.Version())

	changed := content("b")
	changed.Description, changed.Endpoint = "d", "shop-00112233"
	events, err := s.Decide(workflow.Update{Content: changed, Expected: 1})
	require.NoError(t, err)
	require.Equal(t, []workflow.StoredEvent{workflow.Updated{ID: "w", Content: changed}}, events)
	s = after(t, s, events)
	want.Content, want.Revision, want.UpdatedAt = changed, 1, instant(1)
	require.Empty(t, cmp.Diff(want, s))

	events, err = s.Decide(workflow.Delete{})
	require.NoError(t, err)
	require.Equal(t, []workflow.StoredEvent{workflow.Deleted{ID: "w"}}, events)
	s = after(t, s, events)
	require.Equal(t, workflow.StoredDeleted, s.Phase)
	require.Equal(t, changed, s.Content, "what it said last stays for audit")
}

func TestStored_Refusals(t *testing.T) {
	none := workflow.NewStored()
	active := folded(t, workflow.Create{ID: "w", Content: content("a")})
	deleted := folded(t, workflow.Create{ID: "w", Content: content("a")}, workflow.Delete{})
	for name, c := range map[string]struct {
		state   workflow.Stored
		command workflow.StoredCommand
		kind    error
		code    string
	}{
		"create twice":        {active, workflow.Create{ID: "w", Content: content("a")}, domain.ErrConflict, ""},
		"create after delete": {deleted, workflow.Create{ID: "w", Content: content("a")}, domain.ErrConflict, ""},
		"update none":         {none, workflow.Update{Content: content("b")}, domain.ErrNotFound, "WORKFLOW_UNKNOWN"},
		"update deleted":      {deleted, workflow.Update{Content: content("b")}, domain.ErrNotFound, "WORKFLOW_UNKNOWN"},
		"delete none":         {none, workflow.Delete{}, domain.ErrNotFound, "WORKFLOW_UNKNOWN"},
		"delete twice":        {deleted, workflow.Delete{}, domain.ErrNotFound, "WORKFLOW_UNKNOWN"},
		"update old version":  {active, workflow.Update{Content: content("b"), Expected: 2}, domain.ErrConflict, "VERSION_CHANGED"},
		"delete old version":  {active, workflow.Delete{Expected: 7}, domain.ErrConflict, "VERSION_CHANGED"},
		"nothing":             {active, nil, nil, ""},
	} {
		before := c.state
		events, err := c.state.Decide(c.command)
		require.Nil(t, events, name)
		if c.command == nil {
			require.Equal(t, domain.KindInternal, domain.KindOf(err), name)
		} else {
			require.ErrorIs(t, err, c.kind, name)
			require.Equal(t, c.code, code(err), name)
		}
		require.Empty(t, cmp.Diff(before, c.state), name)
	}
}

func TestStored_ContentRules(t *testing.T) {
	active := folded(t, workflow.Create{ID: "w", Content: content("a")})
	for want, change := range map[string]func(*workflow.Content){
		"/name":        func(c *workflow.Content) { c.Name = "" },
		"/name ":       func(c *workflow.Content) { c.Name = strings.Repeat("n", domain.NameBytesMax+1) },
		"/name  ":      func(c *workflow.Content) { c.Name = "\xff" },
		"/description": func(c *workflow.Content) { c.Description = strings.Repeat("d", workflow.DescriptionBytesMax+1) },
		"/endpoint":    func(c *workflow.Content) { c.Endpoint = "" },
		"/endpoint ":   func(c *workflow.Content) { c.Endpoint = "a\nb" },
		"/definition":  func(c *workflow.Content) { c.Graph = domain.Raw([]byte(`[]`)) },
		"/definition ": func(c *workflow.Content) {
			c.Graph.Holes = []domain.Hole{{At: "/" + strings.Repeat("k", domain.AppendBytesMax), Sealed: "s1"}}
		},
	} {
		c := content("b")
		change(&c)
		for _, command := range []workflow.StoredCommand{workflow.Create{ID: "w", Content: c}, workflow.Update{Content: c}} {
			s := active
			if _, create := command.(workflow.Create); create {
				s = workflow.NewStored()
			}
			_, err := s.Decide(command)
			require.ErrorIs(t, err, domain.ErrUnprocessable, want)
			var e *domain.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, strings.TrimSpace(want), e.Field)
		}
	}
	longest := content(strings.Repeat("n", domain.NameBytesMax))
	longest.Description = strings.Repeat("d", workflow.DescriptionBytesMax)
	_, err := active.Decide(workflow.Update{Content: longest})
	require.NoError(t, err)
}

// A client that sends what is stored makes no version, so a repeated PUT is harmless.
func TestStored_UpdateWithTheSameContentDoesNothing(t *testing.T) {
	s := folded(t, workflow.Create{ID: "w", Content: content("a")})
	events, err := s.Decide(workflow.Update{Content: content("a")})
	require.NoError(t, err)
	require.Empty(t, events)
	other := content("a")
	other.Graph = domain.Raw([]byte(`{"nodes":[], "edges":[]}`))
	events, err = s.Decide(workflow.Update{Content: other})
	require.NoError(t, err)
	require.Len(t, events, 1, "bytes are what clients get back, spacing included")
}

func TestStored_FoldRefusesWhatDoesNotFit(t *testing.T) {
	active := folded(t, workflow.Create{ID: "w", Content: content("a")})
	deleted := folded(t, workflow.Create{ID: "w", Content: content("a")}, workflow.Delete{})
	for name, c := range map[string]struct {
		state workflow.Stored
		fact  workflow.StoredFact
	}{
		"gap":            {active, workflow.StoredFact{Revision: 2, Event: workflow.Updated{ID: "w"}}},
		"repeat":         {active, workflow.StoredFact{Revision: 0, Event: workflow.Created{ID: "w"}}},
		"second birth":   {active, workflow.StoredFact{Revision: 1, Event: workflow.Created{ID: "w"}}},
		"update first":   {workflow.NewStored(), workflow.StoredFact{Event: workflow.Updated{ID: "w"}}},
		"delete first":   {workflow.NewStored(), workflow.StoredFact{Event: workflow.Deleted{ID: "w"}}},
		"after the end":  {deleted, workflow.StoredFact{Revision: 2, Event: workflow.Updated{ID: "w"}}},
		"deleted twice":  {deleted, workflow.StoredFact{Revision: 2, Event: workflow.Deleted{ID: "w"}}},
		"unknown member": {active, workflow.StoredFact{Revision: 1}},
	} {
		before := c.state
		_, err := c.state.Fold(c.fact)
		require.ErrorIs(t, err, domain.ErrCorrupt, name)
		require.Empty(t, cmp.Diff(before, c.state), name)
	}
}

// Whatever is asked in whatever order: accepted events fold, versions count up by one, refusals change
// nothing, a split history folds to the same state, and an earlier state never notices a later one.
func TestStored_Properties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := workflow.NewStored()
		var facts []workflow.StoredFact
		var states []workflow.Stored
		for range rapid.IntRange(1, 20).Draw(t, "commands") {
			c := content(rapid.SampledFrom([]string{"a", "b", "", "\u0000", strings.Repeat("x", 513)}).Draw(t, "name"))
			var secrets []domain.Secret
			if rapid.Bool().Draw(t, "secret") {
				secrets = []domain.Secret{{ID: "s1", Ciphertext: "AA"}}
			}
			expected := rapid.IntRange(0, 3).Draw(t, "expected")
			command := rapid.SampledFrom([]workflow.StoredCommand{
				workflow.Create{ID: "w", Content: c, Secrets: secrets},
				workflow.Update{Content: c, Secrets: secrets, Expected: expected},
				workflow.Update{Content: c},
				workflow.Delete{Expected: expected},
			}).Draw(t, "command")
			events, err := s.Decide(command)
			again, againErr := s.Decide(command)
			require.Equal(t, events, again)
			require.Equal(t, err, againErr)
			require.LessOrEqual(t, len(events), 1)
			if err != nil {
				require.Empty(t, events)
				require.NotEqual(t, domain.KindInternal, domain.KindOf(err))
			}
			for _, e := range events {
				facts = append(facts, workflow.StoredFact{Revision: s.Revision + 1, At: instant(len(facts)), Event: e})
				states = append(states, s)
				if s, err = s.Fold(facts[len(facts)-1]); err != nil {
					t.Fatal(err)
				}
				require.Equal(t, len(facts), s.Version())
			}
		}
		cut := rapid.IntRange(0, len(facts)).Draw(t, "cut")
		first, err := workflow.NewStored().Fold(facts[:cut]...)
		require.NoError(t, err)
		whole, err := first.Fold(facts[cut:]...)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(s, whole))
		for i, old := range states {
			again, err := workflow.NewStored().Fold(facts[:i]...)
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(again, old))
		}
	})
}

func TestShown_JSON(t *testing.T) {
	c := content("a\"b")
	c.Description = "d\n"
	s := folded(t, workflow.Create{ID: "w", Content: c})
	b := s.Show([]byte(`{"nodes": [1e400]}`), "log-0000000000000001").AppendJSON([]byte("x"))
	require.Equal(t, `x{"id":"w","name":"a\"b","description":"d\n","endpoint":"default","version":1,"definition":{"nodes": [1e400]},`+
		`"created_at":"2026-01-02T03:04:05.000Z","updated_at":"2026-01-02T03:04:05.000Z","position":"log-0000000000000001"}`, string(b))
	require.True(t, json.Valid(s.Show([]byte(`{}`), "").AppendJSON(nil)))
	require.NotContains(t, string(s.Show([]byte(`{}`), "").AppendJSON(nil)), "position")
	require.Equal(t, domain.StreamID("workflow-w"), workflow.Stream("w"))
}
