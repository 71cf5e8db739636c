package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
)

// Version of the history that this program reads.
const format = 1

// The end of time: when a call whose answer nobody got may take effect at the latest.
const never = math.MaxInt64

// One line of a history; which fields count depends on Record.
type line struct {
	Record    string    `json:"record"`
	Format    int       `json:"format"`
	ID        int       `json:"id"`
	Client    string    `json:"client"`
	Called    int64     `json:"called"`
	Returned  *int64    `json:"returned"`
	Operation operation `json:"operation"`
	Outcome   outcome   `json:"outcome"`
	At        int64     `json:"at"`
	Observer  string    `json:"observer"`
	What      sight     `json:"what"`
	number    int
}

type operation struct {
	Type      string   `json:"type"`
	Object    string   `json:"object"`
	Value     string   `json:"value"`
	Framework string   `json:"framework"`
	Agent     string   `json:"agent"`
	Task      string   `json:"task"`
	Tasks     []string `json:"tasks"`
	State     string   `json:"state"`
	UUID      string   `json:"uuid"`
}

type outcome struct {
	Is    string `json:"is"`
	Value string `json:"value"`
}

type sight struct {
	Sight     string `json:"sight"`
	Framework string `json:"framework"`
	Agent     string `json:"agent"`
	Task      string `json:"task"`
	State     string `json:"state"`
	UUID      string `json:"uuid"`
	Event     string `json:"event"`
	Subject   string `json:"subject"`
}

func (l *line) acknowledged() bool { return l.Outcome.Is == "ok" && l.Returned != nil }

func (l *line) refused() bool { return l.Outcome.Is == "refused" }

// When the call can have had its effect at the latest.
func (l *line) latest() int64 {
	if l.acknowledged() {
		return *l.Returned
	}
	return never
}

// A history: its calls and sights, in the order of the file.
type history struct {
	calls  []line
	sights []line
}

// Reads JSON lines. What is left of a last line that was cut off is left out, as a killed run leaves it.
func read(input io.Reader) (*history, error) {
	reader := bufio.NewReaderSize(input, 1<<20)
	h := &history{}
	for number := 1; ; number++ {
		text, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			if number == 1 {
				return nil, errors.New("the history does not begin with a line that says what was run")
			}
			return h, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the history: %w", err)
		}
		var l line
		// The fields of a run, a sample, a fault or a counter have other types: only the kind counts.
		var kind struct {
			Record string `json:"record"`
			Format int    `json:"format"`
		}
		if err := json.Unmarshal(text, &kind); err != nil {
			return nil, fmt.Errorf("line %d of the history is not a record: %w", number, err)
		}
		if number == 1 {
			if kind.Record != "run" {
				return nil, errors.New("the history does not begin with a line that says what was run")
			}
			if kind.Format != format {
				return nil, fmt.Errorf("the history has format %d: expected %d", kind.Format, format)
			}
		}
		switch kind.Record {
		case "call", "seen":
			if err := json.Unmarshal(text, &l); err != nil {
				return nil, fmt.Errorf("line %d of the history is not a record: %w", number, err)
			}
			l.number = number
			if kind.Record == "call" {
				h.calls = append(h.calls, l)
			} else {
				h.sights = append(h.sights, l)
			}
		case "run", "phase", "replica", "fault", "coverage":
		default:
			return nil, fmt.Errorf("line %d of the history has the kind '%s', which is none", number, kind.Record)
		}
	}
}
