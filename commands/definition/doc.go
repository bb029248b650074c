// Package definition reads the graphs that clients store: the Orchestrator's {nodes, edges}
// (contract C.2).
//
// Parse tells everything that is wrong with a graph by JSON pointer. Graph.Definition translates one
// into what a run executes, and tells what keeps it from running: a graph that is not finished may
// be stored, but not executed. What a client puts into a graph beside what is read here stays in it.
package definition
