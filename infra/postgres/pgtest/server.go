//go:build unix

package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// Options of a server. The zero value is a server for tests: nothing is flushed to disk, because no
// test cuts the power, and 100 connections.
type Options struct {
	Fsync    bool     // flush as a real server does; benchmarks want it
	Settings []string // further lines of postgresql.conf, "name = value"; they win
}

// Server is one running PostgreSQL server on a port of 127.0.0.1 and a Unix socket, with one superuser
// and a random password. Stop, Kill and Restart keep port and data. Safe for concurrent use.
type Server struct {
	dir, bin, password string
	port               int
	as                 *syscall.Credential

	watcher *exec.Cmd
	alive   *os.File // its closing ends the watcher, and with it the server

	mu        sync.Mutex
	cmd       *exec.Cmd // nil while stopped
	databases int       // made so far
}

// Launch starts a server; Close it. It returns once the server answers.
func Launch(o Options) (s *Server, err error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	as, err := account()
	if err != nil {
		return nil, err
	}
	s = &Server{bin: bin, as: as, password: rand.Text()}
	if s.dir, err = os.MkdirTemp(tempDir(as), "quipu-pg-"); err != nil {
		return nil, err
	}
	if err := s.watch(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	if err := s.init(o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	// The free port may be taken by somebody else before the server has it: then another one.
	for range 5 {
		if s.port, err = freePort(); err != nil {
			break
		}
		if err = s.Restart(); err == nil {
			return s, nil
		}
	}
	return nil, errors.Join(err, s.Close())
}

// tempDir is where the server's account may enter.
func tempDir(as *syscall.Credential) string {
	dir := os.TempDir()
	for d := dir; as != nil && d != "/" && d != "."; d = filepath.Dir(d) {
		if info, err := os.Stat(d); err != nil || info.Mode()&0o001 == 0 {
			return "/tmp"
		}
	}
	return dir
}

// watch starts the process that cleans up after us. It holds the reading end of a pipe whose writing
// end dies with this process.
func (s *Server) watch() error {
	const script = `cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ] && kill -QUIT "$pid" 2>/dev/null; then
	i=0
	while kill -0 "$pid" 2>/dev/null && [ $i -lt 100 ]; do sleep 0.05; i=$((i+1)); done
	kill -KILL "$pid" 2>/dev/null
fi
rm -rf "$1" || { sleep 1; rm -rf "$1"; }`
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.Command("/bin/sh", "-c", script, "sh", s.dir)
	cmd.Stdin = r
	// A session of its own: Ctrl-C in the terminal must reach the tests, not who cleans up after them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = r.Close()
	if err != nil {
		_ = w.Close()
		return err
	}
	s.watcher, s.alive = cmd, w
	return nil
}

func (s *Server) init(o Options) error {
	if s.as != nil {
		if err := os.Chown(s.dir, int(s.as.Uid), int(s.as.Gid)); err != nil {
			return err
		}
	}
	secret := filepath.Join(s.dir, "password")
	if err := os.WriteFile(secret, []byte(s.password+"\n"), 0o600); err != nil {
		return err
	}
	if s.as != nil {
		if err := os.Chown(secret, int(s.as.Uid), int(s.as.Gid)); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), initTimeout)
	defer cancel()
	cmd := s.command(ctx, "initdb", "-D", s.data(), "-U", "quipu", "--pwfile", secret, "--no-sync",
		"--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8", "--locale=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	lines := []string{
		"listen_addresses = '127.0.0.1'",
		"unix_socket_directories = '" + s.dir + "'",
		"unix_socket_permissions = 0700",
		"timezone = 'UTC'",
		"log_timezone = 'UTC'",
	}
	if !o.Fsync {
		// Commits still reach the system: a killed server loses none.
		lines = append(lines, "fsync = off", "full_page_writes = off")
	}
	lines = append(lines, o.Settings...)
	f, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("\n" + strings.Join(lines, "\n") + "\n")
	return errors.Join(err, f.Close())
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=" + s.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Setsid: true}
	return cmd
}

// URL connects to a database of the server by TCP; "" is the first one, postgres. The URL holds the
// password.
func (s *Server) URL(database string) string {
	if database == "" {
		database = "postgres"
	}
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("quipu", s.password),
		Host: s.Addr(), Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Addr is host and port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Dir is a folder that the server's account may write to, removed by Close.
func (s *Server) Dir() string { return s.dir }

// Database makes an empty database and returns its URL, and what removes it with everyone connected.
func (s *Server) Database(ctx context.Context) (url string, drop func(context.Context) error, err error) {
	s.mu.Lock()
	s.databases++
	name := fmt.Sprintf("test%d", s.databases)
	s.mu.Unlock()
	if err := s.exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", nil, err
	}
	drop = func(ctx context.Context) error { return s.exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") }
	return s.URL(name), drop, nil
}

func (s *Server) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, s.URL(""))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}
