package params_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/domain"
	"quipu/readapi/params"
)

type inner struct {
	Limit *int `query:"limit" min:"1" max:"200" doc:"How many."`
}

type all struct {
	Text string          `query:"text" max:"5"`
	Word string          `query:"word" enum:"a,b"`
	Flag *bool           `query:"flag"`
	At   time.Time       `query:"at"`
	List []string        `query:"list" max:"3"`
	Pos  params.Position `query:"pos"`
	Rest int             // no parameter
	inner
}

func bind(t testing.TB, query string) (all, []string) {
	t.Helper()
	values, err := url.ParseQuery(query)
	require.NoError(t, err)
	got, err := params.Bind[all](params.Set(values))
	var fields []string
	if err != nil {
		for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
			var fault *domain.Error
			require.ErrorAs(t, e, &fault)
			require.ErrorIs(t, e, domain.ErrUnprocessable)
			require.Equal(t, params.Code, fault.Code)
			fields = append(fields, fault.Field)
		}
	}
	return got, fields
}

func TestBind_ReadsEveryType(t *testing.T) {
	got, faults := bind(t, "text=h%C3%A9+x&word=b&flag=0&at=1756806125.043&list=a,b&list=+c+&list=&pos=my-log-00000000000000ff&limit=7&Rest=9&other=1")
	require.Empty(t, faults)
	limit, flag := 7, false
	require.Equal(t, all{
		Text: "hé x", Word: "b", Flag: &flag, At: time.UnixMilli(1756806125043).UTC(), List: []string{"a", "b", "c"},
		Pos: params.Position{Log: "my-log", At: 255}, inner: inner{Limit: &limit},
	}, got)
	got, faults = bind(t, "text=&word=&flag=&at=&list=&pos=&limit=")
	require.Empty(t, faults)
	require.Equal(t, all{}, got, "empty is absent")
}

func TestBind_NamesEveryFault(t *testing.T) {
	_, faults := bind(t, "text=toolong&word=c&flag=maybe&at=x&list=long!&pos=1&limit=0")
	require.Equal(t, []string{"query/text", "query/word", "query/flag", "query/at", "query/list", "query/pos", "query/limit"}, faults)
	for _, one := range []string{"text=a&text=b", "text=%00", "text=%ff", "text=a%0Ab", "limit=201", "limit=1e2", "limit=+1", "limit=9999999999999999999999", "list=" + strings.Repeat("a,", 51)} {
		_, faults = bind(t, one)
		require.Len(t, faults, 1, one)
	}
}

func TestDescribe_ListsWhatBindReads(t *testing.T) {
	described := params.Describe[all]()
	require.Len(t, described, 7)
	require.Equal(t, []string{"a", "b"}, described[1].Enum)
	last := described[6]
	require.Equal(t, "limit", last.Name)
	require.Equal(t, [2]int{1, 200}, [2]int{last.Min, last.Max})
	require.Equal(t, "How many.", last.Doc)
}

func TestNear(t *testing.T) {
	type filters struct {
		At         string `query:"at"`
		From       string `query:"from"`
		Status     string `query:"status"`
		WorkflowID string `query:"workflow_id"`
	}
	near := func(query string) []string {
		values, err := url.ParseQuery(query)
		require.NoError(t, err)
		return params.Near(params.Set(values), params.Describe[filters]())
	}
	for name, meant := range map[string]string{
		"sttus": "status", "tsatus": "status", "statuses": "status", "form": "from", "workflowId": "workflow_id", "workflow-id": "workflow_id", "statüs": "status",
	} {
		require.Equal(t, []string{name + " is no parameter and was ignored; did you mean " + meant + "?"}, near("from=1&"+name+"=x"))
	}
	require.Empty(t, near("at=1&from=&status=x&workflow_id=1&a=&t=2&_=1&ad=1&for=2&session_id=3&st%00tus=1&st%fftus=1&"+strings.Repeat("s", 70)+"="))
	many := near("statu=&stats=&sttus=&tatus=&satus=&status1=&status2=")
	require.Len(t, many, params.NearMax)
	require.Contains(t, many[0], "satus is no", "in order")
}

func TestInstant(t *testing.T) {
	want := time.Date(2025, 9, 2, 9, 42, 5, 43_000_000, time.UTC)
	for _, s := range []string{
		"2025-09-02T09:42:05.043Z", "2025-09-02T11:42:05.043+02:00", "2025-09-02T11:42:05.043 02:00", "1756806125.043", "1756806125.043000000",
	} {
		got, fault := params.Instant(s)
		require.Empty(t, fault, s)
		require.Equal(t, want, got, s)
	}
	for _, s := range []string{
		"", "-1", "1.", "1..2", ".5", "1.0000000001", "1e3", "253402300800", "2025-09-02", "10000-01-01T00:00:00Z", "2025-13-01T00:00:00Z",
		"0000-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00", "now",
	} {
		_, fault := params.Instant(s)
		if s == "1." { // a point with nothing after it is still a number
			require.Empty(t, fault)
			continue
		}
		require.NotEmpty(t, fault, s)
	}
	require.Equal(t, want, params.Ceil(want))
	require.Equal(t, want, params.Ceil(want.Add(-time.Nanosecond)))
}

// No query makes the reader fail in another way than by naming a parameter.
func FuzzBind(f *testing.F) {
	for _, s := range []string{"limit=1&limit=2", "at=1756806125.043", "at=2025-09-02T11:42:05+02:00", "pos=a-0000000000000001", "list=a,,b&flag=1", "text=%ff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		got, err := params.Bind[all](params.Set(values))
		var fault *domain.Error
		if err != nil && (!errors.As(err, &fault) || !strings.HasPrefix(fault.Field, "query/")) {
			t.Fatalf("%q: %v", query, err)
		}
		if err == nil && (got.Limit != nil && (*got.Limit < 1 || *got.Limit > 200) || len(got.Text) > 5 || len(got.List) > params.ListItemsMax) {
			t.Fatalf("%q gives %+v", query, got)
		}
	})
}
