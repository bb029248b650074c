package flows

import (
	"bufio"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const lagMetric = `quipu_feed_lag_seconds{consumer="views"} `

// ViewsLag asks the server how long the oldest event has been waiting that its views lack; 0 if they
// lack none.
func (s *Server) ViewsLag() (lag time.Duration, err error) {
	resp, err := http.Get("http://" + s.Addr + "/metrics")
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }() // read whole
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if value, found := strings.CutPrefix(lines.Text(), lagMetric); found {
			seconds, err := strconv.ParseFloat(value, 64)
			return time.Duration(seconds * float64(time.Second)), err
		}
	}
	return 0, fmt.Errorf("no %s in /metrics: %v", lagMetric, lines.Err())
}
