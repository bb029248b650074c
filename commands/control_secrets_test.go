package commands_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quipu/commands"
	"quipu/domain"
	"quipu/domain/run"
)

// A cancellation's reason is masked; a signal's name, which must keep its bytes, is refused.
func TestControl_ReasonsAndNamesHoldNoSecret(t *testing.T) {
	const secret = "sk-quoted-by-who-cancels-01"
	d := openDesk(t, newWorld(), commands.Limits{})
	id := d.run(t, graph([]string{asked, nodeOf("out", "end", `{}`)}, "in>ask", "ask>out"), `{"sum":1,"api_key":"`+secret+`"}`)
	d.until(t, id, "approval_requested", 1)
	_, err := d.executor.Signal(t.Context(), ask(id), "paid/"+secret, []byte(`{}`))
	require.ErrorIs(t, err, domain.ErrUnprocessable)
	require.Equal(t, "SECRET_IN_NAME", codeOf(err))
	require.NotContains(t, err.Error(), secret)
	_, err = d.executor.Cancel(t.Context(), id, "somebody published "+secret, somebody.Actor)
	require.NoError(t, err)
	d.over(t, id, run.PhaseCancelled)
	require.Regexp(t, `^somebody published \*\*\*[0-9a-f]{8}$`, first[run.Cancelled](t, d.world.events(t, id)).Reason)
	d.world.nowhere(t, secret)
}
