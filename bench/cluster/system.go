package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"quipu/bench/flows"
	"quipu/infra/postgres/pgtest"
)

// system is one profile, running.
type system struct {
	log      *flows.Server
	postgres *pgtest.Server
	nats     *server.Server
	nodes    []*flows.Server
	killed   map[int]bool
	dir      string
	common   []string // arguments of every node
	bin      string
}

// start starts the parts of a profile. On an error those that run are stopped again.
func (b *bench) start(p profile) (*system, error) {
	dir, err := os.MkdirTemp(b.dir, "data-")
	if err != nil {
		return nil, err
	}
	s := &system{killed: map[int]bool{}, bin: b.bin, dir: dir}
	if err := s.startAll(p); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *system) startAll(p profile) error {
	if p.cluster {
		if err := s.startParts(); err != nil {
			return err
		}
	}
	for i := range p.nodes {
		n, err := s.startNode(p, i)
		if err != nil {
			return err
		}
		s.nodes = append(s.nodes, n)
	}
	return nil
}

func (s *system) startNode(p profile, i int) (*flows.Server, error) {
	return flows.Start(flows.Options{Bin: s.bin, Data: filepath.Join(s.dir, fmt.Sprint("node", i)), Args: append(slices.Clone(s.common), s.own(p, i)...)})
}

// own are the arguments of one node alone.
func (s *system) own(p profile, i int) []string {
	if !p.cluster {
		return nil
	}
	return []string{"--node-name", fmt.Sprintf("n%d", i+1)}
}

const natsStartMax = 20 * time.Second

// startParts starts what nodes share.
func (s *system) startParts() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return err
	}
	if s.log, err = flows.Start(flows.Options{Bin: s.bin, Command: []string{"log", "serve"}, Data: filepath.Join(s.dir, "log"), Args: []string{"--kurrentdb-addr", addr}}); err != nil {
		return err
	}
	if s.postgres, err = pgtest.Launch(pgtest.Options{Fsync: true, Settings: []string{"max_connections = 200"}}); err != nil {
		return err
	}
	database, _, err := s.postgres.Database(context.Background())
	if err != nil {
		return err
	}
	if s.nats, err = server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: filepath.Join(s.dir, "nats"), NoLog: true, NoSigs: true}); err != nil {
		return err
	}
	s.nats.Start()
	if !s.nats.ReadyForConnections(natsStartMax) {
		return fmt.Errorf("the NATS server took no connections within %s", natsStartMax)
	}
	master := filepath.Join(s.dir, "master.key")
	if err := os.WriteFile(master, []byte(strings.Repeat("5a", 32)+"\n"), 0o600); err != nil {
		return err
	}
	s.common = []string{
		"--log", "esdb://" + addr + "?tls=false", "--cluster", database, "--views", database,
		"--nats", s.nats.ClientURL(), "--master-key-file", master,
	}
	return nil
}

func (s *system) addrs() (all []string) {
	for i, n := range s.nodes {
		if !s.killed[i] {
			all = append(all, n.Addr)
		}
	}
	return all
}

func (s *system) warnings() (all []string) {
	for _, n := range s.nodes {
		all = append(all, n.Warnings()...)
	}
	return all
}

// stop ends everything that runs.
func (s *system) stop() error {
	var errs []error
	for i, n := range s.nodes {
		if !s.killed[i] {
			errs = append(errs, n.Stop())
		}
	}
	if s.log != nil {
		errs = append(errs, s.log.Stop())
	}
	if s.nats != nil {
		s.nats.Shutdown()
		s.nats.WaitForShutdown()
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}
