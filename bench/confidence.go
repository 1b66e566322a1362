package bench

import (
	"fmt"
	"math"
	"strconv"

	"github.com/seed-e3b9a99f/baton/bench/internal/figures"
)

// confidence is how sure the bounds in a report are.
const confidence = 0.95

// lossBound returns the fraction under which the loss rate lies with the given confidence, when lost of n operations
// were lost: Clopper and Pearson's exact bound. Of none lost in n it is about 3/n.
func lossBound(lost, n int64, confidence float64) float64 {
	if n == 0 || lost >= n {
		return 1
	}
	if lost == 0 {
		return -math.Expm1(math.Log1p(-confidence) / float64(n))
	}
	return betaQuantile(confidence, float64(lost+1), float64(n-lost))
}

// lossFloor returns the fraction over which the loss rate lies with the given confidence.
func lossFloor(lost, n int64, confidence float64) float64 {
	if n == 0 || lost <= 0 {
		return 0
	}
	return 1 - lossBound(n-lost, n, confidence)
}

// LossText says what the lane's losses tell of the server's loss rate, as "0 of 1,204,311: under 2.5e-6 at 95 %".
func (l LaneReport) LossText() string {
	return lossText(l.Lost, l.OK+l.Lost, l.LossBound)
}

// LossText says the same as LaneReport.LossText, of all lanes together.
func (r Report) LossText() string {
	var lost, n int64
	for _, l := range r.Lanes {
		lost, n = lost+l.Lost, n+l.OK+l.Lost
	}
	return lossText(lost, n, lossBound(lost, n, confidence))
}

func lossText(lost, n int64, bound float64) string {
	return fmt.Sprintf("%s of %s: under %s at %s", figures.Thousands(lost), figures.Thousands(n), scientific(bound), percent(confidence))
}

// scientific writes two digits, rounded up, since it is for upper bounds.
func scientific(fraction float64) string {
	if fraction <= 0 {
		return "0"
	}
	exponent := math.Floor(math.Log10(fraction))
	digits := math.Ceil(fraction/math.Pow(10, exponent-1)-1e-9) / 10
	if digits >= 10 {
		digits, exponent = digits/10, exponent+1
	}
	if exponent > -3 {
		return strconv.FormatFloat(digits*math.Pow(10, exponent), 'g', 2, 64)
	}
	return strconv.FormatFloat(digits, 'f', 1, 64) + "e" + strconv.Itoa(int(exponent))
}

// betaQuantile returns the x at which the cumulative beta distribution with shapes a and b reaches p. It halves in
// logarithms, because loss rates are near 0.
func betaQuantile(p, a, b float64) float64 {
	low, high := math.Log(1e-300), 0.0
	for range 200 {
		middle := (low + high) / 2
		if middle == low || middle == high {
			break
		}
		if betaCDF(math.Exp(middle), a, b) < p {
			low = middle
		} else {
			high = middle
		}
	}
	return math.Exp(high)
}

// betaCDF is the regularised incomplete beta function I_x(a, b). See https://dlmf.nist.gov/8.17.
func betaCDF(x, a, b float64) float64 {
	switch {
	case x <= 0:
		return 0
	case x >= 1:
		return 1
	case x > (a+1)/(a+b+2): // where the fraction below converges slowly, that of the mirrored function does not
		return 1 - betaCDF(1-x, b, a)
	}
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	front := math.Exp(a*math.Log(x)+b*math.Log1p(-x)+lab-la-lb) / a
	return front / betaFraction(x, a, b)
}

// betaFraction is the continued fraction 8.17.22 of the DLMF by Lentz's method, taken from its head: 1 + d1/(1 + ...).
func betaFraction(x, a, b float64) float64 {
	const tiny, exact = 1e-300, 1e-15
	f, c, d := 1.0, 1.0, 0.0
	for n := 1; n < 100_000; n++ {
		m := float64(n / 2)
		coefficient := m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m))
		if n%2 == 1 {
			coefficient = -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))
		}
		d = 1 / keepFrom(tiny, 1+coefficient*d)
		c = keepFrom(tiny, 1+coefficient/c)
		f *= c * d
		if math.Abs(c*d-1) < exact {
			break
		}
	}
	return f
}

// keepFrom keeps x away from 0, where Lentz's method would divide by it.
func keepFrom(tiny, x float64) float64 {
	if math.Abs(x) < tiny {
		return tiny
	}
	return x
}
