package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
)

// machine is what a run's figures depend on.
type machine struct {
	Processor  string `json:"processor"`
	CPUs       int    `json:"cpus"`
	Memory     string `json:"memory"`
	System     string `json:"system"`
	Go         string `json:"go"`
	PostgreSQL int    `json:"postgresql"`
	Commit     string `json:"commit"`
	Load       string `json:"load"` // before the run; other programs disturb it
	Events     int    `json:"events"`
	Rounds     int    `json:"rounds"`
}

func thisMachine(ctx context.Context) machine {
	commit, _ := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	return machine{
		Processor: found("/proc/cpuinfo", `model name\s*: (.*)`), CPUs: runtime.NumCPU(), Memory: found("/proc/meminfo", `MemTotal:\s*(.*)`),
		System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), Commit: strings.TrimSpace(string(commit)), Load: found("/proc/loadavg", `(\S+)`),
	}
}

// found returns what a pattern's group matches in a file, or "unknown".
func found(file, pattern string) string {
	data, _ := os.ReadFile(file)
	match := regexp.MustCompile(pattern).FindSubmatch(data)
	if match == nil {
		return "unknown"
	}
	return string(match[1])
}

func (m machine) String() string {
	return fmt.Sprintf("%d events, medians of %d rounds; %s, %d CPUs, %s of memory, %s, load %s before;\nPostgreSQL %d, %s, commit %s",
		m.Events, m.Rounds, m.Processor, m.CPUs, m.Memory, m.System, m.Load, m.PostgreSQL, m.Go, m.Commit)
}
