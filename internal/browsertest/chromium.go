//go:build unix

package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// chromium is the one browser of the test binary.
var chromium struct {
	once sync.Once
	err  error
	cmd  *exec.Cmd
	tools
	profile string
}

type tools = *devtools

// callLimit bounds each command to the browser: a machine under load with the race detector is slow.
const callLimit = 60 * time.Second

// flags keep Chromium to what it is asked for. The background ones end its own calls to the outside,
// which would only fail and fill its log.
var flags = []string{
	"--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-default-browser-check",
	"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
	"--disable-extensions", "--disable-breakpad", "--disable-dev-shm-usage", "--mute-audio",
	"--no-proxy-server", "--remote-debugging-pipe",
}

// startChromium starts the browser on the first call.
func startChromium() (*devtools, error) {
	chromium.once.Do(func() { chromium.err = launch() })
	return chromium.tools, chromium.err
}

func launch() error {
	path, err := chromiumPath()
	if err != nil {
		return err
	}
	if chromium.profile, err = os.MkdirTemp("", "quipu-chromium-"); err != nil {
		return err
	}
	args := append([]string{"--user-data-dir=" + chromium.profile}, flags...)
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox") // its sandbox refuses root
	}
	theirIn, ourOut, err := os.Pipe()
	if err != nil {
		return err
	}
	ourIn, theirOut, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.Command(path, append(args, "about:blank")...)
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // 3 and 4, as the flag has it
	// A group of its own, so that its children end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", path, err)
	}
	_ = theirIn.Close()
	_ = theirOut.Close()
	chromium.cmd, chromium.tools = cmd, newDevtools(ourOut, ourIn)
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	var version struct {
		Product string `json:"product"`
	}
	if err := chromium.call(ctx, "", "Browser.getVersion", nil, &version); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// stopChromium ends the browser, if it was started, and removes what it wrote.
func stopChromium() {
	if chromium.cmd != nil {
		_ = syscall.Kill(-chromium.cmd.Process.Pid, syscall.SIGKILL)
		_ = chromium.cmd.Wait()
	}
	if chromium.profile != "" {
		_ = os.RemoveAll(chromium.profile)
	}
}

// Context is a set of pages with cookies of their own, as a private window is. It is closed at the end
// of the test.
type Context struct {
	tools *devtools
	id    string
}

// NewContext opens a context.
func NewContext(t testing.TB) *Context {
	t.Helper()
	d, err := startChromium()
	if err != nil {
		t.Fatal(err)
	}
	c := &Context{tools: d}
	var made struct {
		ID string `json:"browserContextId"`
	}
	call(t, d, "", "Target.createBrowserContext", nil, &made)
	c.id = made.ID
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), callLimit)
		defer cancel()
		if err := d.call(ctx, "", "Target.disposeBrowserContext", map[string]any{"browserContextId": c.id}, nil); err != nil {
			t.Errorf("close the context: %v", err)
		}
	})
	return c
}

// call is devtools.call for a command that has to succeed.
func call(t testing.TB, d *devtools, session, method string, params map[string]any, into any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	defer cancel()
	if err := d.call(ctx, session, method, params, into); err != nil {
		t.Fatal(err)
	}
}
