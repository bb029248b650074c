package config

import (
	"net/url"
	"time"
)

// Cluster holds what several nodes share, and how this one is a member.
type Cluster struct {
	URL              Secret        `name:"cluster" default:"" help:"Where nodes that share a log keep who is alive, the data keys and the blobs: postgres://user:password@host/database, the same for all; views in a shared Postgres are then kept by one node at a time; empty: this node is alone and keeps keys and blobs in the data folder."`
	Direct           Secret        `name:"cluster-direct" default:"" help:"The database of cluster past a pooler in transaction mode, as a URL: notifications need a connection that lasts; without them changes are found by polling; empty takes cluster."`
	ViewsDirect      Secret        `name:"views-direct" default:"" help:"The database of views past a pooler in transaction mode, likewise; empty takes views."`
	NodeName         string        `name:"node-name" default:"" unit:"name" help:"Name of this node for people; empty takes the host's."`
	Lease            time.Duration `name:"lease" default:"3s" unit:"duration" min:"1s" max:"5m" help:"How long a node that says nothing counts as alive, the same for all nodes; then its work begins anew elsewhere; each renews its own every third of it."`
	KeysConnections  int           `name:"cluster-keys-connections" default:"4" unit:"connections" min:"1" max:"64" help:"Connections to the database of cluster for data keys; further callers wait."`
	BlobsConnections int           `name:"cluster-blobs-connections" default:"4" unit:"connections" min:"1" max:"64" help:"Connections to the database of cluster for blobs; further callers wait."`
}

// Keys holds the settings of the vault.
type Keys struct {
	MasterFile string `name:"master-key-file" default:"" unit:"file" help:"File of the master key, 64 hex digits, readable by the server alone; with cluster the same key for all nodes; empty takes keys/master.key in the data folder, which is made at first start."`
}

// Shared reports whether nodes share what they know.
func (c Cluster) Shared() bool { return c.URL != "" }

// checkCluster reports what is wrong with being a member. URLs are not repeated: they may hold a password.
func (c Config) checkCluster() Problems {
	var ps Problems
	for _, s := range []struct {
		key string
		url Secret
	}{{"cluster", c.Cluster.URL}, {"cluster_direct", c.Cluster.Direct}, {"views_direct", c.Cluster.ViewsDirect}} {
		if s.url != "" && !postgresURL(s.url.Reveal()) {
			ps = append(ps, Problem{s.key, "is not a Postgres URL", "write it like postgres://user:password@host:5432/database, or leave it empty"})
		}
	}
	if c.Cluster.Direct != "" && !c.Cluster.Shared() {
		ps = append(ps, Problem{"cluster_direct", "is set without cluster", "set cluster, too, or leave it empty"})
	}
	return ps
}

func postgresURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") && (u.Host != "" || u.Query().Get("host") != "")
}
