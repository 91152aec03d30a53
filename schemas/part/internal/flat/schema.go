package flat

import "errors"

// element is one entry of the schema, which is a tree in depth-first order.
type element struct {
	Column
	children int32
}

// readSchema keeps the top-level leaves and counts the others, whose chunks lie between theirs.
func (f *File) readSchema(t *thrift, wire int) {
	n := t.list(wire, thriftStruct)
	if n == 0 {
		t.fail()
		return
	}
	root := readElement(t)
	below := int64(0) // elements still to come inside a top-level group
	for range n - 1 {
		e := readElement(t)
		if t.err != nil {
			return
		}
		if e.children == 0 {
			if below == 0 {
				e.leaf = f.leaves
				f.Columns = append(f.Columns, e.Column)
			}
			f.leaves++
		}
		if below > 0 {
			below--
		}
		below += int64(e.children)
	}
	if below != 0 || root.children == 0 {
		t.refuse(errors.New("schema is not a tree"))
	}
}

func readElement(t *thrift) (e element) {
	converted, logical := int32(-1), Plain
	t.enter(thriftStruct, func(id, wire int) {
		switch id {
		case 1:
			e.Physical = Physical(t.i32(wire))
		case 2:
			e.Length = t.i32(wire)
		case 3:
			repetition := t.i32(wire)
			e.Optional, e.Repeated = repetition == 1, repetition == 2
		case 4:
			e.Name = string(t.bytes(wire))
		case 5:
			e.children = t.i32(wire)
		case 6:
			converted = t.i32(wire)
		case 10:
			logical = readLogical(t, wire)
		default:
			t.skip(wire)
		}
	})
	if e.children < 0 {
		t.fail()
	}
	if e.Logical = logical; logical == Plain && converted >= 0 {
		e.Logical = fromConverted(converted)
	}
	return e
}

// readLogical reads the LogicalType union, in which an empty struct's field id is the type.
func readLogical(t *thrift, wire int) Logical {
	logical := Plain
	t.enter(wire, func(id, wire int) {
		switch id {
		case 1, 4:
			logical = String
			t.skip(wire)
		case 8:
			logical = readTimestamp(t, wire)
		case 10:
			logical = readInteger(t, wire)
		case 12:
			logical = JSON
			t.skip(wire)
		case 14:
			logical = UUID
			t.skip(wire)
		default:
			logical = Other
			t.skip(wire)
		}
	})
	return logical
}

func readTimestamp(t *thrift, wire int) Logical {
	utc, unit := false, 0
	t.enter(wire, func(id, wire int) {
		switch id {
		case 1:
			utc = t.bool(wire)
		case 2:
			t.enter(wire, func(id, wire int) {
				unit = id
				t.skip(wire)
			})
		default:
			t.skip(wire)
		}
	})
	if utc && unit == 2 {
		return TimestampMicros
	}
	return Other
}

// readInteger returns Plain for signed integers of the physical type's own width.
func readInteger(t *thrift, wire int) Logical {
	width, signed := byte(0), false
	t.enter(wire, func(id, wire int) {
		switch id {
		case 1:
			width = t.byte()
		case 2:
			signed = t.bool(wire)
		default:
			t.skip(wire)
		}
	})
	if signed && (width == 32 || width == 64) {
		return Plain
	}
	return Other
}

// fromConverted maps the format's older annotation, by its number there.
func fromConverted(converted int32) Logical {
	switch converted {
	case 0, 4: // UTF8, ENUM
		return String
	case 10: // TIMESTAMP_MICROS, which is UTC by definition
		return TimestampMicros
	case 17, 18: // INT_32, INT_64
		return Plain
	case 19:
		return JSON
	default:
		return Other
	}
}
