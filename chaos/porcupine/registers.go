package main

import (
	"fmt"
	"strings"

	"github.com/anishathalye/porcupine"
)

// What is asked of a register.
type registerInput struct {
	write bool
	value string
}

// A register holds one value, empty before the first write.
var registerModel = porcupine.Model{
	Init: func() interface{} { return "" },
	Step: func(state, input, output interface{}) (bool, interface{}) {
		asked := input.(registerInput)
		if asked.write {
			return true, asked.value
		}
		return output.(string) == state.(string), state
	},
	DescribeOperation: func(input, output interface{}) string {
		asked := input.(registerInput)
		if asked.write {
			return fmt.Sprintf("write '%s'", asked.value)
		}
		return fmt.Sprintf("read '%s'", output)
	},
}

// The calls on each register. A refused write never was; an unknown one can have its instant at the end, where it harms
// nobody, and is left out if nobody read what it wrote.
func registers(h *history) map[string][]porcupine.Operation {
	readValues := map[string]map[string]bool{}
	for i := range h.calls {
		call := &h.calls[i]
		if call.Operation.Type == "read" && call.acknowledged() {
			values := readValues[call.Operation.Object]
			if values == nil {
				values = map[string]bool{}
				readValues[call.Operation.Object] = values
			}
			values[call.Outcome.Value] = true
		}
	}
	clients := map[string]int{}
	found := map[string][]porcupine.Operation{}
	for i := range h.calls {
		call := &h.calls[i]
		object := call.Operation.Object
		var input registerInput
		switch {
		case call.Operation.Type == "write" && !call.refused():
			if !call.acknowledged() && !readValues[object][call.Operation.Value] {
				continue
			}
			input = registerInput{write: true, value: call.Operation.Value}
		case call.Operation.Type == "read" && call.acknowledged():
		default:
			continue
		}
		// Without a read there is nothing to explain.
		if len(readValues[object]) == 0 {
			continue
		}
		found[object] = append(found[object], porcupine.Operation{
			ClientId: number(clients, call.Client),
			Input:    input,
			Call:     call.Called,
			Output:   call.Outcome.Value,
			Return:   call.latest(),
			Metadata: call.number,
		})
	}
	return found
}

func number(clients map[string]int, name string) int {
	known, ok := clients[name]
	if !ok {
		known = len(clients)
		clients[name] = known
	}
	return known
}

// Of the object `quota/a` the kind is `quota`.
func kind(object string) string {
	before, _, _ := strings.Cut(object, "/")
	return before
}
