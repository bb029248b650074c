package config

import "strings"

// Log says where the log is.
type Log struct {
	URL Secret `name:"log" default:"" help:"Where the log is kept: esdb://user:password@host:2113 or several hosts with commas, also esdb+discover, kurrentdb and kurrentdb+discover, for a KurrentDB or EventStoreDB, its settings behind a ? such as tls=false; or empty for the embedded log in the data folder. Nodes that share a log need cluster."`
}

// Remote reports whether the log is kept elsewhere.
func (l Log) Remote() bool { return l.URL != "" }

// checkLog reports what is wrong with where the log is. What the connection string holds beyond its scheme
// is looked at when it is opened.
func (c Config) checkLog() Problems {
	if !c.Log.Remote() {
		return nil
	}
	var ps Problems
	scheme, rest, ok := strings.Cut(c.Log.URL.Reveal(), "://")
	switch scheme {
	case "esdb", "esdb+discover", "kurrentdb", "kurrentdb+discover":
	default:
		ok = false
	}
	if !ok || rest == "" {
		// The value is not repeated: it may hold a password.
		ps = append(ps, Problem{"log", "is no connection string of KurrentDB", "write it like esdb://user:password@host:2113, or leave it empty for the embedded log in the data folder"})
	}
	if c.Port.Addr != "" {
		ps = append(ps, Problem{"kurrentdb_addr", "is set although the log is kept elsewhere", "let clients of KurrentDB go to the server that log names, or leave log empty"})
	}
	return ps
}
