//go:build unix

package browsertest

import "quipu/internal/debian"

// chromiumPath finds the browser under the names that systems give it, installing it first if it must.
func chromiumPath() (string, error) {
	return debian.Program("chromium", "chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
}

// nodePath finds Node.js likewise.
func nodePath() (string, error) { return debian.Program("nodejs", "node", "nodejs") }
