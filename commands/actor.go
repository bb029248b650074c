package commands

import (
	"context"

	"quipu/domain/wire"
)

type actorKey struct{}

// WithActor notes who was found to be asking. It is called by whatever authenticates, never with
// what a request says about itself.
func WithActor(ctx context.Context, actor wire.Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// ActorOf is who asks, with the door they came in by; anonymous if nobody was authenticated.
func ActorOf(ctx context.Context, via string) wire.Actor {
	actor, ok := ctx.Value(actorKey{}).(wire.Actor)
	if !ok {
		actor.Kind = wire.ActorAnonymous
	}
	actor.Via = via
	return actor
}
