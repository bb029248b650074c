package kurrentdb

import (
	"bytes"
	"io"
	"log"
	"sync"
)

// fuse stands between the standard logger and where it writes. The library ends the process by log.Fatalf
// when a server gives an event a time of creation that is no number. log.Fatalf writes its line before
// it ends the process: a panic there is caught by the call it stems from, and the process goes on.
type fuse struct{ next io.Writer }

var fatalLine = []byte("Failed to parse created date as int")

// Write implements io.Writer.
func (f fuse) Write(line []byte) (int, error) {
	if bytes.Contains(line, fatalLine) {
		panic("the server gave an event a time of creation that is no number")
	}
	return f.next.Write(line)
}

var arming sync.Mutex

// armFuse puts the fuse before whatever the standard logger writes to now.
func armFuse() {
	arming.Lock()
	defer arming.Unlock()
	if _, armed := log.Writer().(fuse); !armed {
		log.SetOutput(fuse{log.Writer()})
	}
}
