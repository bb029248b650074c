package config

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// LogNames holds how streams are called where others see them.
type LogNames struct {
	Prefix string `name:"log-prefix" default:"quipu." unit:"1 to 64 characters" help:"What the names of Quipu's streams begin with on a KurrentDB, be it a cluster that holds the log or the port of kurrentdb-addr; keep it for the life of a log."`
}

// Port holds the settings of the port that speaks KurrentDB's protocol.
type Port struct {
	Addr           string `name:"kurrentdb-addr" default:"" unit:"host:port" help:"Address on which the embedded log speaks KurrentDB's gRPC protocol, so that its clients can read and subscribe, and write streams of their own; empty opens none (log serve: 127.0.0.1:2113)."`
	TLSCert        string `name:"kurrentdb-tls-cert" default:"" unit:"file" help:"PEM file of that port's certificate and chain; without it the port speaks plain text, where clients send no credentials, and is allowed on a loopback address or with insecure only."`
	TLSKey         string `name:"kurrentdb-tls-key" default:"" unit:"file" help:"PEM file of the private key of kurrentdb-tls-cert."`
	NodeCredential Secret `name:"kurrentdb-node-credential" default:"" help:"user:password that nodes present at that port, the password of 16 to 256 characters; on log serve it may write Quipu's own streams; needs kurrentdb-tls-cert."`
	ReadCredential Secret `name:"kurrentdb-read-credential" default:"" help:"user:password that reads every stream at that port and writes those that are not Quipu's own; needs kurrentdb-tls-cert."`
	AppendBytesMax int    `name:"kurrentdb-append-bytes-max" default:"921600" unit:"bytes" min:"1024" max:"921600" help:"Largest append at that port: data, metadata and twice the type of all its events."`
	StreamsMax     int    `name:"kurrentdb-streams-max" default:"100" unit:"calls" min:"1" max:"1048576" help:"Calls, subscriptions among them, that one connection to that port may have open at once; further ones wait at the client."`
}

// LogServeAddr is where log serve listens for clients of KurrentDB if nothing is said.
const LogServeAddr = "127.0.0.1:2113"

// credentialPasswordMin is the least length of a password; apiKeyBytesMax the most.
const credentialPasswordMin = apiKeyBytesMin

// checkPort reports what is wrong with the protocol port.
func (c Config) checkPort() Problems {
	var ps Problems
	add := func(field, fault, fix string) { ps = append(ps, Problem{field, fault, fix}) }
	if n := len(c.LogNames.Prefix); n < 1 || n > 64 || strings.HasPrefix(c.LogNames.Prefix, "$") || strings.ContainsFunc(c.LogNames.Prefix, func(r rune) bool { return r <= ' ' || r > '~' }) {
		add("log_prefix", fmt.Sprintf("%q cannot begin the name of a stream", c.LogNames.Prefix), "write 1 to 64 printable characters that do not begin with $, such as quipu.")
	}
	p := c.Port
	for _, credential := range []struct {
		field string
		value Secret
	}{{"kurrentdb_node_credential", p.NodeCredential}, {"kurrentdb_read_credential", p.ReadCredential}} {
		user, password, ok := strings.Cut(credential.value.Reveal(), ":")
		if credential.value == "" {
			continue
		}
		// The value is not repeated: it is a secret.
		if !ok || user == "" || len(password) < credentialPasswordMin || len(password) > apiKeyBytesMax {
			add(credential.field, "is not user:password with a password that is safe", fmt.Sprintf("write a user, a colon and %d to %d characters, such as the output of: openssl rand -hex 24", credentialPasswordMin, apiKeyBytesMax))
		}
		if p.TLSCert == "" {
			add(credential.field, "would never be checked, since clients send credentials over TLS only", "set kurrentdb_tls_cert and kurrentdb_tls_key, or leave it empty")
		}
	}
	if p.NodeCredential != "" && p.NodeCredential == p.ReadCredential {
		add("kurrentdb_read_credential", "is the same as kurrentdb_node_credential", "give readers a password of their own")
	}
	if (p.TLSCert == "") != (p.TLSKey == "") {
		add("kurrentdb_tls_key", "and kurrentdb_tls_cert belong together", "set both or none")
	}
	if p.TLSCert != "" && p.NodeCredential == "" && p.ReadCredential == "" {
		add("kurrentdb_tls_cert", "is set, but nobody could call without a credential", "set kurrentdb_node_credential or kurrentdb_read_credential")
	}
	if p.Addr == "" {
		return ps
	}
	if _, port, err := net.SplitHostPort(p.Addr); err != nil || !portOK(port, 0) {
		add("kurrentdb_addr", fmt.Sprintf("%q is not an address to listen on", p.Addr), "write host:port with a port of 0..65535, such as 127.0.0.1:2113")
	} else if p.TLSCert == "" && !c.Guard.Insecure && !loopback(p.Addr) {
		add("kurrentdb_addr", fmt.Sprintf("%q can be reached from other machines, and without TLS anybody may call", p.Addr),
			"set kurrentdb_tls_cert and kurrentdb_tls_key, or listen on a loopback address such as 127.0.0.1:2113, or say --insecure if whoever reaches the port may do everything")
	}
	return ps
}

// loopback reports whether addr can be reached from this machine only.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
