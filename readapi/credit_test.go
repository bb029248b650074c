package readapi

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The promise to slow readers: never dropped at 1 KiB/s, however lumpy; dropped below.
func TestCredit_Rule(t *testing.T) {
	type write struct {
		after time.Duration
		bytes int
	}
	for name, c := range map[string]struct {
		writes []write
		lasts  time.Duration // 0: for ever
	}{
		"nothing at all":             {[]write{{time.Second, 0}}, 30 * time.Second},
		"exactly 1 KiB/s":            {[]write{{time.Second, 1024}}, 0},
		"64 KiB lumps at 1 KiB/s":    {[]write{{20 * time.Second, 64 << 10}, {64 * time.Second, 64 << 10}}, 0},
		"half the rate":              {[]write{{time.Second, 512}}, 60 * time.Second},
		"a megabyte saves 90 s only": {[]write{{time.Second, 1 << 20}, {89 * time.Second, 0}, {time.Second, 0}}, 91 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(0, 0)
			k := credit{left: slowStart}
			k.begin(now)
			var total time.Duration
			held := true
			for i := 0; held && i < 500; i++ {
				w := c.writes[min(i, len(c.writes)-1)]
				now, total = now.Add(w.after), total+w.after
				held = k.took(w.bytes, now)
			}
			if c.lasts == 0 {
				require.True(t, held)
				return
			}
			require.False(t, held)
			require.Equal(t, c.lasts, total)
		})
	}
	k := credit{left: time.Second}
	k.rest()
	require.Equal(t, slowStart, k.left)
}

func TestFrames_Lengths(t *testing.T) {
	require.Equal(t, []byte{0x81, 125}, appendHeader(nil, opText, 125))
	require.Equal(t, []byte{0x81, 126, 0, 126}, appendHeader(nil, opText, 126))
	require.Equal(t, []byte{0x81, 126, 0xff, 0xff}, appendHeader(nil, opText, 0xffff))
	require.Equal(t, []byte{0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0}, appendHeader(nil, opText, 0x10000))
	require.Equal(t, []byte{0x88, 0}, appendClose(nil, 0, "x"))
	require.Len(t, appendClose(nil, 1013, string(make([]byte, 500))), 2+controlBytesMax)
}
