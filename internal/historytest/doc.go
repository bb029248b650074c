// Package historytest checks a log after the fact: what tests of real processes look at when all of them have
// ended. Read reads it without a server; the methods of History report whatever cannot be.
package historytest
