package ground

// Fault is something broken on purpose.
type Fault struct{ Name string }

func (g *Ground) ActiveFaults() []Fault { return nil }
func (g *Ground) UndoAllFaults() error  { return nil }
