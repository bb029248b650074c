// Package stores says where everything that lasts is kept, below the data folder or where the
// configuration names it, and opens it. The server and the commands that work beside one, or on the
// folder of a stopped one, have to agree on this; what only one of them does is not here.
package stores
