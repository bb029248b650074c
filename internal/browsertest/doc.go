// Package browsertest runs clients as users have them, in a real headless Chromium and in Node.js,
// against the real binary (internal/proctest).
//
// The clients are in clients/: each is one plain script that runs in both, reports what happens to it,
// and is chosen and given its parameters by clients/harness.js. A page is opened in a Context, which has
// cookies of its own, as a private window has; Node starts a process. Both hand their reports to Reports,
// which tests wait on.
//
// One Chromium serves the whole package. It is driven over its DevTools protocol through a pipe, which
// needs no module and no port, and it ends when the test binary does. Where Chromium or Node.js is
// missing, root installs Debian's packages; anyone else is told to.
package browsertest
