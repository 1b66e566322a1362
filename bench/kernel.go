package bench

// kernelNow returns what the kernel has counted so far, or nil where it does not say.
func kernelNow() *Kernel {
	if k, ok := readKernel(); ok {
		return &k
	}
	return nil
}

// since returns what was counted from an earlier reading until this one.
func (k Kernel) since(earlier Kernel) Kernel {
	return k.add(earlier, -1)
}

func (k Kernel) add(other Kernel, sign int64) Kernel {
	k.ListenOverflows += sign * other.ListenOverflows
	k.ListenDrops += sign * other.ListenDrops
	k.BacklogDrops += sign * other.BacklogDrops
	k.RetransSegs += sign * other.RetransSegs
	k.SynRetrans += sign * other.SynRetrans
	k.Timeouts += sign * other.Timeouts
	return k
}
