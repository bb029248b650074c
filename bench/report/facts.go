package report

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Facts say what the figures were measured on and with.
type Facts struct {
	Date    string `json:"date"`
	Command string `json:"command"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	Kernel  string `json:"kernel"`
	CPU     string `json:"cpu"`
	Cores   int    `json:"cores"`
	Memory  int64  `json:"memory_bytes"`
	Disk    string `json:"disk"` // type of the measured folder's file system
	LoadAvg string `json:"load_average"`
}

// GatherFacts looks at the machine; what cannot be found out stays empty. dir is the measured
// folder.
func GatherFacts(dir string, args []string) Facts {
	f := Facts{
		Date: time.Now().UTC().Format(time.DateTime) + "Z", Command: strings.Join(args, " "), Commit: commit(),
		Go: runtime.Version(), Cores: runtime.NumCPU(), Kernel: firstLine("/proc/sys/kernel/osrelease"),
		CPU: after("/proc/cpuinfo", "model name"), LoadAvg: firstLine("/proc/loadavg"), Disk: fileSystem(dir),
	}
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) == nil {
		f.Memory = int64(info.Totalram) * int64(info.Unit)
	}
	return f
}

func (f Facts) String() string {
	return fmt.Sprintf("%s · %s · commit %s · %s · Linux %s · %d cores %s · %.0f GiB · %s · load average before %s",
		f.Date, f.Command, f.Commit, f.Go, f.Kernel, f.Cores, f.CPU, float64(f.Memory)/(1<<30), f.Disk, f.LoadAvg)
}

func commit() string {
	out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	hash := strings.TrimSpace(string(out))
	if changes, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output(); err == nil && len(changes) > 0 {
		hash += " with changes"
	}
	return hash
}

func firstLine(name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

// after returns the value of the first "key : value" line.
func after(name, key string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// fileSystem names the type of dir's file system by its magic number, where it is a usual one.
func fileSystem(dir string) string {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return ""
	}
	names := map[uint32]string{
		0xEF53: "ext4", 0x58465342: "xfs", 0x9123683E: "btrfs", 0x794c7630: "overlay", 0x2fc12fc1: "zfs",
		0x01021994: "tmpfs (in memory: durability costs nothing here)",
	}
	if name, ok := names[uint32(s.Type)]; ok {
		return name
	}
	return fmt.Sprintf("file system %#x", uint32(s.Type))
}
