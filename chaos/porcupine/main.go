// Command porcupine-check judges a history of a chaos run by Porcupine: is there an order of the calls on each object
// that explains every answer? It shares no code with the in-process checker, so that the two can be compared.
//
// It prints one line of JSON for each kind of object and exits with 0 (held), 1 (violated), 2 (not a history) or 3 (not
// decided in time, or nothing to look at).
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

const (
	exitHeld      = 0
	exitViolated  = 1
	exitBadInput  = 2
	exitUndecided = 3
)

// Violations of one kind that are written down.
const violationsMax = 20

// Calls beyond the best attempt that are shown for a violation.
const evidenceMax = 8

type violation struct {
	What     string `json:"what"`
	Evidence []int  `json:"evidence"`
}

type verdict struct {
	Check      string      `json:"check"`
	Is         string      `json:"is"`
	LookedAt   int         `json:"looked_at,omitempty"`
	Count      int         `json:"count,omitempty"`
	Violations []violation `json:"violations,omitempty"`
	Why        string      `json:"why,omitempty"`
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(arguments []string, output, errors io.Writer) int {
	flags := flag.NewFlagSet("porcupine-check", flag.ContinueOnError)
	flags.SetOutput(errors)
	flags.Usage = func() {
		fmt.Fprintln(errors, "usage: porcupine-check [--visualize OUT.html] [--timeout 60s] HISTORY")
		flags.PrintDefaults()
	}
	visualize := flags.String("visualize", "", "write a picture of the first violation, or of the busiest object, to this file")
	timeout := flags.Duration("timeout", time.Minute, "give up after this time; 0 never")
	path, rest := "", arguments
	for {
		// Options may stand on either side of the file.
		if err := flags.Parse(rest); err != nil {
			return exitBadInput
		}
		if flags.NArg() == 0 {
			break
		}
		if path != "" {
			flags.Usage()
			return exitBadInput
		}
		path, rest = flags.Arg(0), flags.Args()[1:]
	}
	if path == "" {
		flags.Usage()
		return exitBadInput
	}
	file, err := os.Open(path)
	if err != nil {
		fmt.Fprintf(errors, "porcupine-check: %v\n", err)
		return exitBadInput
	}
	defer file.Close()
	h, err := read(file)
	if err != nil {
		fmt.Fprintf(errors, "porcupine-check: %s: %v\n", path, err)
		return exitBadInput
	}
	verdicts, picture := judge(h, *timeout)
	encoder := json.NewEncoder(output)
	for _, verdict := range verdicts {
		if err := encoder.Encode(verdict); err != nil {
			fmt.Fprintf(errors, "porcupine-check: %v\n", err)
			return exitBadInput
		}
	}
	if *visualize != "" {
		if err := draw(picture, *visualize); err != nil {
			fmt.Fprintf(errors, "porcupine-check: %v\n", err)
			return exitBadInput
		}
	}
	return conclusion(verdicts)
}

func conclusion(verdicts []verdict) int {
	looked, undecided := false, false
	for _, verdict := range verdicts {
		switch verdict.Is {
		case "violated":
			return exitViolated
		case "undecided":
			undecided = true
		case "held":
			looked = true
		}
	}
	if undecided || !looked {
		return exitUndecided
	}
	return exitHeld
}

// What to draw.
type picture struct {
	model      porcupine.Model
	operations []porcupine.Operation
	violated   bool
}

func draw(what picture, path string) error {
	if len(what.operations) == 0 {
		return fmt.Errorf("there is nothing to draw")
	}
	_, info := porcupine.CheckOperationsVerbose(what.model, drawable(what.operations), time.Minute)
	return porcupine.VisualizePath(what.model, info, path)
}

// Bars that never end are drawn a little beyond the last answer.
func drawable(operations []porcupine.Operation) []porcupine.Operation {
	end := int64(0)
	for _, operation := range operations {
		if operation.Return != never && operation.Return > end {
			end = operation.Return
		}
		if operation.Call > end {
			end = operation.Call
		}
	}
	drawn := append([]porcupine.Operation(nil), operations...)
	for i := range drawn {
		if drawn[i].Return == never {
			drawn[i].Return = end + 1
		}
	}
	return drawn
}

func judge(h *history, timeout time.Duration) ([]verdict, picture) {
	deadline := time.Now().Add(timeout)
	byKind := map[string]map[string][]porcupine.Operation{"register": {}, "task": tasks(h)}
	models := map[string]porcupine.Model{"task": taskModel}
	found := registers(h)
	for object, operations := range found {
		name := kind(object)
		if name == "task" {
			// A register named like the other model.
			name = "task-register"
		}
		if byKind[name] == nil {
			byKind[name] = map[string][]porcupine.Operation{}
		}
		byKind[name][object] = operations
	}
	if len(found) > 0 && len(byKind["register"]) == 0 {
		delete(byKind, "register")
	}
	var verdicts []verdict
	var shown picture
	for _, name := range sorted(byKind) {
		model, ok := models[name]
		if !ok {
			model = registerModel
		}
		verdicts = append(verdicts, judgeKind(name, model, byKind[name], timeout, deadline, &shown))
	}
	return verdicts, shown
}

func judgeKind(
	name string, model porcupine.Model, objects map[string][]porcupine.Operation, timeout time.Duration,
	deadline time.Time, shown *picture,
) verdict {
	result := verdict{Check: "porcupine-" + name, Is: "nothing_to_check"}
	undecided := 0
	for _, object := range sorted(objects) {
		operations := objects[object]
		result.LookedAt++
		left := time.Duration(0)
		if timeout > 0 {
			if left = time.Until(deadline); left <= 0 {
				undecided++
				continue
			}
		}
		checked := porcupine.CheckOperationsTimeout(model, operations, left)
		if checked == porcupine.Unknown {
			undecided++
			continue
		}
		violated := checked == porcupine.Illegal
		if !shown.violated && (violated || len(operations) > len(shown.operations)) {
			*shown = picture{model: model, operations: operations, violated: violated}
		}
		if violated {
			result.Count++
			if len(result.Violations) < violationsMax {
				result.Violations = append(result.Violations, violation{
					What:     fmt.Sprintf("no order of the %d calls on %s explains every answer", len(operations), object),
					Evidence: evidence(model, operations),
				})
			}
		}
	}
	switch {
	case result.Count > 0:
		result.Is, result.LookedAt = "violated", 0
	case undecided > 0:
		result.Is = "undecided"
		result.Why = fmt.Sprintf("gave up on %d of %d objects after %s", undecided, result.LookedAt, timeout)
		result.LookedAt = 0
	case result.LookedAt > 0:
		result.Is = "held"
	}
	return result
}

// The lines of the first calls, in order of time, that the longest explanation leaves out.
func evidence(model porcupine.Model, operations []porcupine.Operation) []int {
	_, info := porcupine.CheckOperationsVerbose(model, operations, 10*time.Second)
	explained := map[int]bool{}
	longest := 0
	for _, partition := range info.PartialLinearizationsOperations() {
		for _, partial := range partition {
			if len(partial) <= longest {
				continue
			}
			longest = len(partial)
			explained = map[int]bool{}
			for _, operation := range partial {
				explained[operation.Metadata.(int)] = true
			}
		}
	}
	rest := []porcupine.Operation{}
	for _, operation := range operations {
		if !explained[operation.Metadata.(int)] {
			rest = append(rest, operation)
		}
	}
	sort.Slice(rest, func(i, j int) bool { return rest[i].Return < rest[j].Return })
	lines := []int{}
	for _, operation := range rest {
		if len(lines) < evidenceMax {
			lines = append(lines, operation.Metadata.(int))
		}
	}
	sort.Ints(lines)
	return lines
}

func sorted[V any](objects map[string]V) []string {
	names := make([]string, 0, len(objects))
	for name := range objects {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
