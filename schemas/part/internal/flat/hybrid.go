package flat

import "encoding/binary"

// maxGroups keeps the arithmetic of a claimed run from overflowing.
const maxGroups = 1 << 24

// hybrid reads Parquet's mix of run-length and bit-packed runs of unsigned integers of one
// width. A run's claimed length costs nothing: callers ask for as many values as they expect.
type hybrid struct {
	b      []byte
	width  uint
	left   uint64 // values left in the current run
	packed bool   // the current run is bit-packed
	value  uint32 // of a run-length run
	bit    uint   // position in b of a bit-packed run's next value
	end    int    // where a bit-packed run ends in b
}

func newHybrid(b []byte, width uint) hybrid { return hybrid{b: b, width: width} }

// next returns the next value, and false when the bytes are at an end or not well-formed.
func (h *hybrid) next() (uint32, bool) {
	for h.left == 0 {
		if !h.nextRun() {
			return 0, false
		}
	}
	h.left--
	if !h.packed {
		return h.value, true
	}
	return h.unpack(), true
}

func (h *hybrid) nextRun() bool {
	if h.packed {
		h.b, h.packed = h.b[h.end:], false
	}
	header, n := binary.Uvarint(h.b)
	if n <= 0 || header>>1 == 0 {
		return false
	}
	h.b = h.b[n:]
	h.left = header >> 1
	if header&1 == 1 {
		return h.startPacked()
	}
	size := int(h.width+7) / 8
	if len(h.b) < size {
		return false
	}
	h.value = 0
	for i := range size {
		h.value |= uint32(h.b[i]) << (8 * i)
	}
	h.b = h.b[size:]
	return true
}

// startPacked begins a run of groups of eight values. The last group of a page may lack its
// padding; values beyond the bytes don't exist.
func (h *hybrid) startPacked() bool {
	groups := h.left
	if groups > maxGroups {
		return false
	}
	h.left, h.end = groups*8, int(groups)*int(h.width)
	if h.end > len(h.b) {
		h.left, h.end = uint64(len(h.b))*8/uint64(h.width), len(h.b)
	}
	h.packed, h.bit = true, 0
	return true
}

func (h *hybrid) unpack() uint32 {
	i, shift := h.bit/8, h.bit%8
	h.bit += h.width
	var window uint64
	if int(i)+8 <= len(h.b) {
		window = binary.LittleEndian.Uint64(h.b[i:])
	} else {
		for j, b := range h.b[min(int(i), len(h.b)):] {
			window |= uint64(b) << (8 * j)
		}
	}
	return uint32(window >> shift & (1<<h.width - 1))
}
