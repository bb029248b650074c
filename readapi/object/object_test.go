package object_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quipu/readapi/object"
)

func TestBuilder_WritesWhatClientsParse(t *testing.T) {
	at := time.UnixMilli(1756806125043).In(time.FixedZone("", 7200))
	o := object.New([]byte("["))
	o.Str("s", "a\"\u0000é")
	o.StrOrNull("none", "")
	o.Int("i", -3)
	o.Bool("b", true)
	o.Time("t", at)
	o.Time("never", time.Time{})
	o.Seconds("e", at)
	o.Seconds("before", time.UnixMilli(-1500))
	o.Millis("ms", at, at.Add(1500*time.Microsecond))
	o.Millis("back", at, at.Add(-time.Second))
	o.Millis("open", at, time.Time{})
	o.Position("p", "my-\"log", 0xfedc)
	o.Open("o")
	o.Raw("r", []byte(`1e400`))
	o.Close()
	o.Key("list")
	o.B = append(o.B, '[')
	for range 2 {
		o.Item()
		o.B = append(o.B, '1')
	}
	o.B = append(o.B, ']')
	require.Equal(t, `[{"s":"a\"\u0000é","none":null,"i":-3,"b":true,"t":"2025-09-02T09:42:05.043Z","never":null,`+
		`"e":1756806125.043,"before":-1.500,"ms":1,"back":0,"open":null,"p":"my-\"log-000000000000fedc","o":{"r":1e400},"list":[1,1]}`, string(o.Done()))
}
