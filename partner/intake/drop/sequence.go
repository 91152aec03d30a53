package drop

// Sequence is how a partner numbers files. Ordinals are the numbers without the wrap-around: 9999 and the 0001
// after it are neighbours. The ordinal of the first number is 0 in the first round.
type Sequence struct {
	First int64 // the number at which the numbering begins, and begins again
	Last  int64 // the highest number, after which First comes again; 0: there is no highest
}

// Fits reports whether a number can occur at all.
func (s Sequence) Fits(number int64) bool {
	return number >= s.First && (s.Last == 0 || number <= s.Last)
}

// Number returns the number that an ordinal has in names.
func (s Sequence) Number(ordinal int64) int64 {
	if s.Last == 0 {
		return s.First + ordinal
	}
	return s.First + ordinal%s.size()
}

// Ordinal returns the ordinal of a number when next is expected. A number has one ordinal in each round; Ordinal
// returns the one nearest to next.
func (s Sequence) Ordinal(number, next int64) int64 {
	at := number - s.First
	if s.Last == 0 {
		return at
	}
	size := s.size()
	ahead := ((at-next)%size + size) % size
	if ahead > size/2 && next+ahead-size >= 0 {
		return next + ahead - size
	}
	return next + ahead
}

func (s Sequence) size() int64 { return s.Last - s.First + 1 }
