package archtest

import "strings"

// module is the path of the product's module; its rooms are the folders below.
const module = "quipu"

// pure is the part of the standard library that the domain may use: values in, values out. What is
// not here reads a clock, the system or a random source, shares memory or does I/O. A row may be
// added for a package that does none of these.
var pure = words(`
	bytes cmp container/heap container/list crypto/sha256 encoding encoding/base64 encoding/binary
	encoding/hex encoding/json errors fmt hash hash/crc32 hash/fnv iter maps math math/big math/bits
	net/netip net/url regexp regexp/syntax slices sort strconv strings time unicode unicode/utf16
	unicode/utf8
`)

// room says what the non-test files of a folder, and of those below it, may import. The longest
// matching row counts. A room's own packages are always allowed.
type room struct {
	own      []string // other folders of the module
	third    []string // modules of others; unless anyThird
	std      []string // standard library; nil means all of it
	anyOwn   bool
	anyThird bool
	by       []string // who may import it, with their tests; nil: everybody whose row allows it
}

// rooms is the picture of ARCHITECTURE.md as a table. Sideways imports between commands,
// projections, eventbus and readapi are left out on purpose: they share the log, not code.
var rooms = map[string]room{
	"domain": {std: pure},
	// The words that routes are described in: plain data, so that rooms with routes need not know each
	// other, nor who makes the document (docs/adr/0007).
	"apidoc":   {std: words("encoding/json")},
	"commands": {own: words("domain apidoc"), third: words("github.com/expr-lang/expr github.com/itchyny/gojq github.com/santhosh-tekuri/jsonschema/v6 github.com/gofiber/fiber/v2 github.com/gofiber/contrib/websocket github.com/fasthttp/websocket github.com/valyala/fasthttp github.com/sashabaranov/go-openai")},
	// The rows that projectors fill are the rows that readapi serves: projections/view holds types only.
	"projections": {own: words("domain")},
	"readapi":     {own: words("domain apidoc projections/view"), third: words("github.com/gofiber/fiber/v2 github.com/gofiber/contrib/websocket github.com/fasthttp/websocket github.com/valyala/fasthttp github.com/danielgtaylor/huma/v2 github.com/swaggest/swgui")},
	"eventbus":    {own: words("domain"), third: words("github.com/ThreeDotsLabs/watermill")},
	// An adapter fills a port of the inner rooms with its one technology. Other adapters are not
	// its business; infra below lists who may know whom.
	"infra":                {own: words("domain commands projections eventbus readapi"), anyThird: true},
	"infra/sim":            {anyOwn: true, anyThird: true},                        // drives the whole program
	"internal":             {anyThird: true},                                      // checks and tools of this repository; imported by nobody
	"internal/historytest": {own: words("domain infra/embedded"), anyThird: true}, // reads what processes have stored
	"bench":                {anyOwn: true, anyThird: true},
	"client":               {anyThird: true}, // what users import: never our insides
	"examples":             {own: words("client"), anyThird: true},
	"sdk":                  {anyThird: true},
	"docs":                 {std: words("embed")}, // pages that the program serves
	"web":                  {},
	// The composition root: nobody builds on how the program is put together. Only the page of bounds is
	// compared with it.
	"app": {anyOwn: true, anyThird: true, by: words("cli docs")},
	"cli": {anyOwn: true, anyThird: true, by: []string{""}},
	"":    {own: words("cli infra/config")}, // main: signals and exit codes
}

// siblings lists the adapters that may import another one, with the reason.
var siblings = map[[2]string]string{
	{"infra/faulty", "infra/memory"}:       "wraps the reference adapters",
	{"infra/backup", "infra/durable"}:      "how files are written",
	{"infra/blobs", "infra/durable"}:       "how files are written",
	{"infra/checkpoints", "infra/durable"}: "how files are written",
	{"infra/vault", "infra/durable"}:       "how files are written",
	{"infra/embedded", "infra/durable"}:    "what its errors mean",
	{"infra/poison", "infra/durable"}:      "how files are written",
	{"infra/sqlite", "infra/durable"}:      "how files are written",
}

// supportMay lists what packages made for tests may import beyond their room: the reference adapters
// that suites compare with.
var supportMay = words("infra/memory infra/faulty infra/clock")

// banned are calls that make code depend on what a test cannot hold still. Where says who may make
// them all the same: a folder or a file, each with its reason beside it.
var banned = []struct {
	calls  []string // package.Function; a bare package bans its import
	inTest bool     // also in _test.go files
	hint   string
	except []string
}{
	{
		calls: words("time.Now time.Since time.Until time.Sleep"),
		hint:  "take a clock (infra/clock has one, infra/clock/clocktest another)",
		except: []string{
			"infra/clock", // the one place
			"internal",    // times the suites, on the wall clock by intent
			"bench", "examples",
			"readapi/socket.go", // deadlines of a connection are the kernel's, in wall time
		},
	},
	{
		calls: words("math/rand math/rand/v2"),
		hint:  "take a jitter function (infra/clock has one)",
		except: []string{
			"infra/clock",
			"eventbus/options.go",   // the documented default of an option, never a decision's input
			"readapi/options.go",    // likewise
			"infra/embedded/vfs",    // the simulated disk is handed a seeded source
			"infra/faulty", "bench", // seeded
			"examples",
		},
	},
	{
		calls: words("context.Background context.TODO"),
		hint:  "pass the caller's context on",
		except: []string{
			"main.go", "bench", "examples", "client",
			"commands/sight.go",    // the pure Compute port has no context; only content-addressed files are read
			"readapi/sockets.go",   // sockets outlive the requests that opened them; Shutdown ends them
			"commands/executor.go", // makes the context of its own effects, which its stop ends
		},
	},
	{
		calls:  words("os.Getenv os.LookupEnv os.Environ"),
		hint:   "add a setting to infra/config",
		except: words("main.go infra/config bench examples internal"),
	},
	{
		calls:  words("time.Sleep"),
		inTest: true,
		hint:   "wait for a signal or a condition with a deadline, or use testing/synctest",
	},
}

func words(s string) []string { return strings.Fields(s) }
