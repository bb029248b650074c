// Package intakebus reads commands that come as messages and carries them out, as commands/intakehttp does
// for requests.
//
// A message is taken at least once, a command carried out exactly once: the id of what it makes, or of the
// command itself, derives from who sent the message and the message's own id, so that a message that
// comes again meets what is there. Nothing is kept about messages.
//
// Messages are read twice: Parse tells which run a command is about, so that those of one run are carried
// out in the order they came; the command itself then does it.
package intakebus
