// Package wire is the published language of the log: events to bytes and back.
//
// Rules. A stored type name is "<aggregate>.<snake_case>.v<N>", chosen by hand. A stored event
// never changes its meaning: an addition that old readers must understand, or a changed meaning,
// is a new version with an upcaster from the old one, applied at read. Golden files in testdata
// are kept for ever. Payload fields are Values: {"json": <as written>, "holes": [...]}.
//
// Encoding is written by hand so that users' JSON goes through byte for byte (encoding/json would
// compact and escape it) and because it is on the path of every event. So is decoding: it goes over
// an event once and takes payloads as they stand there, without a copy. Tests compare it with
// encoding/json.
package wire
