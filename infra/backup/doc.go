// Package backup is the folder that a backup of a server's data is: its manifest, how it is begun,
// ended and told from a broken-off one, and what is checked before a server opens it.
//
//	backup.partial   there from the beginning to the end of making it
//	backup.json      the manifest; backup.partial gets its content and then this name
//	restored.json    the manifest, once a server has opened the folder
//	log/ blobs/ keys/  as in a data folder
//
// What is in the stores is copied by them (embedded.CopyTo and kin); the root puts it together.
package backup
