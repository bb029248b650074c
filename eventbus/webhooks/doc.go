// Package webhooks posts recorded events to URLs that operators name, signed, until each is taken.
//
// The log is the queue. One courier for each target reads the log after its checkpoint, and moves the
// checkpoint past an event only when the receiver took it or it stands on the poison list, which is
// durable. A crash between an answer and the checkpoint delivers again, under the same webhook-id.
//
// Order: the events of one stream are posted one after the other, each only after the one before was
// taken or given up. Different streams do not wait for each other, targets never do.
//
// An event that is not taken is tried again with growing waits, at most Options.AttemptsMax times, then
// put on the poison list. 410 disables a target until the process starts again or the nodes change; its checkpoint stays, so nothing is passed over.
//
// Signatures are those of the Standard Webhooks specification, version 1.0 (headers webhook-id,
// webhook-timestamp, webhook-signature; HMAC-SHA-256 over "id.timestamp.body").
package webhooks
