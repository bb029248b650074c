package wire

// Level is the highest feature level that this program knows.
//
// Nodes of one log may run different programs while they are upgraded one by one. What an older one
// cannot read must not be written before it is gone: each stored type has the level from which on it may
// be, and the nodes agree on the level in force, which rises once all of them know it. A new type, or a
// new version of one, comes with a level of its own (this plus one) in levels.
const Level = 1

// levels is the level of each stored type. None is ever changed or removed.
var levels = func() map[string]int {
	m := map[string]int{NameBound: 1, ChannelMessage: 1, EndpointCreated: 1}
	for _, typ := range WorkflowTypes() {
		m[typ] = 1
	}
	for _, typ := range runTypes {
		m[typ] = 1
	}
	return m
}()

// LevelOf is the level from which on a stored type may be written; 0 if this program does not know the type.
func LevelOf(typ string) int { return levels[typ] }
