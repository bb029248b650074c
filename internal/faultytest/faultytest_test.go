package faultytest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFails_NotesWhateverFails(t *testing.T) {
	for name, c := range map[string]struct {
		run  func(testing.TB)
		want bool
	}{
		"nothing":    {func(testing.TB) {}, false},
		"a log line": {func(t testing.TB) { t.Helper(); t.Log(t.Name()); t.Logf("%v", t.Context()) }, false},
		"Error":      {func(t testing.TB) { t.Error("x") }, true},
		"Errorf":     {func(t testing.TB) { t.Errorf("x") }, true},
		"Fail":       {func(t testing.TB) { t.Fail() }, true},
		"FailNow":    {func(t testing.TB) { t.FailNow() }, true},
		"Fatal":      {func(t testing.TB) { t.Fatal("x") }, true},
		"Fatalf":     {func(t testing.TB) { t.Fatalf("x") }, true},
		"a panic":    {func(testing.TB) { panic("x") }, true},
		"testify":    {func(t testing.TB) { require.Equal(t, 1, 2) }, true},
		"a cleanup":  {func(t testing.TB) { t.Cleanup(func() { t.Error("x") }) }, true},
	} {
		require.Equal(t, c.want, Fails(t, c.run), name)
	}
	require.False(t, t.Failed())
}

func TestFails_CleansUpInReverseAndAfterAFailure(t *testing.T) {
	var order []int
	var dirs []string
	require.True(t, Fails(t, func(t testing.TB) {
		dirs = append(dirs, t.TempDir(), t.TempDir())
		t.Cleanup(func() { order = append(order, 1) })
		t.Cleanup(func() {
			order = append(order, 2)
			t.Cleanup(func() { order = append(order, 3) })
		})
		t.FailNow()
		order = append(order, 0)
	}))
	require.Equal(t, []int{2, 3, 1}, order)
	require.NotEqual(t, dirs[0], dirs[1])
	require.DirExists(t, dirs[1])
}
