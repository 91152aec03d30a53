package seal

import (
	"errors"
	"io"
	"sync"
)

// keptChunks are more than a part has columns. They are read side by side, each from its own chunk.
const keptChunks = 40

// chunks keeps plaintext that was decrypted last. The library keeps one chunk, so that reading columns side by side would decrypt
// each chunk many times.
type chunks struct {
	plain io.ReaderAt
	size  int64

	mu   sync.Mutex
	kept []*kept
	uses int64
}

type kept struct {
	number, used int64
	data         []byte
}

// Release gives back the memory. A batch has many parts, all of which are open while one is read.
func (c *chunks) Release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = nil
}

// ReadAt implements [io.ReaderAt].
func (c *chunks) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 || off > c.size {
		return 0, errors.New("offset out of range")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for n < len(p) && off+int64(n) < c.size {
		at := off + int64(n)
		data, err := c.chunk(at / chunk)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], data[at%chunk:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// chunk returns one that is kept, or decrypts it in place of the one that was not used for longest.
func (c *chunks) chunk(number int64) ([]byte, error) {
	c.uses++
	var oldest *kept
	for _, k := range c.kept {
		if k.number == number {
			k.used = c.uses
			return k.data, nil
		}
		if oldest == nil || k.used < oldest.used {
			oldest = k
		}
	}
	if len(c.kept) < keptChunks {
		oldest = &kept{data: make([]byte, min(chunk, c.size))}
		c.kept = append(c.kept, oldest)
	}
	oldest.number = -1 // until it is whole
	oldest.data = oldest.data[:min(chunk, c.size-number*chunk)]
	if _, err := c.plain.ReadAt(oldest.data, number*chunk); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	oldest.number, oldest.used = number, c.uses
	return oldest.data, nil
}
