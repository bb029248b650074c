package kurrentport

import (
	"context"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
)

// features answers what the port can do. It is open to anybody, as the clients ask without
// credentials when they connect.
type features struct {
	serverfeatures.UnimplementedServerFeaturesServer
	version string
}

// The names are in lower case, as clients compare them.
var supported = []struct{ service, method string }{
	{"event_store.client.streams.streams", "append"},
	{"event_store.client.streams.streams", "batchappend"},
	{"event_store.client.streams.streams", "read"},
	{"event_store.client.gossip.gossip", "read"},
	{"event_store.client.server_features.serverfeatures", "getsupportedmethods"},
}

// GetSupportedMethods implements the service.
func (f features) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	out := &serverfeatures.SupportedMethods{EventStoreServerVersion: f.version}
	for _, m := range supported {
		method := &serverfeatures.SupportedMethod{ServiceName: m.service, MethodName: m.method}
		if m.method == "batchappend" {
			method.Features = []string{"deadline_duration"}
		}
		out.Methods = append(out.Methods, method)
	}
	return out, nil
}
