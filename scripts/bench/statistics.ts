/**
 * What do some samples say? Medians first within a process, then over processes: V8 gives a kernel's code other addresses in
 * each process, and those decide a few per cent of its speed. Ratios are of samples that were taken next to each other.
 */

/** One measurement: `process` and `round` say next to which others it was taken. Seconds; `hertz` is 0 where unknown. */
export type Sample = {
  readonly process: number
  readonly round: number
  readonly bytes: number
  readonly cpu: number
  readonly wall: number
  readonly hertz: number
}

/** The middle one of some figures, and the quartiles beside it. */
export type Figure = { readonly median: number; readonly low: number; readonly high: number }

/** The quantile of some numbers, between two of them in proportion (R's type 7). NaN of none. */
export function quantile(numbers: readonly number[], part: number): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  const place = (sorted.length - 1) * part
  const below = sorted[Math.floor(place)] ?? Number.NaN
  const above = sorted[Math.ceil(place)] ?? Number.NaN
  return below + (above - below) * (place - Math.floor(place))
}

export const median = (numbers: readonly number[]): number => quantile(numbers, 0.5)

export function figure(numbers: readonly number[]): Figure {
  return { median: median(numbers), low: quantile(numbers, 0.25), high: quantile(numbers, 0.75) }
}

/** A number of each sample: the median of each process, and of these the figure. */
export function overProcesses(samples: readonly Sample[], number: (sample: Sample) => number): Figure {
  const processes = Map.groupBy(samples, each => each.process).values()
  return figure([...processes].map(each => median(each.map(number))))
}

/** Bytes per second of CPU time. */
export const rate = ({ bytes, cpu }: Sample): number => bytes / cpu
/** Bytes per second of the clock on the wall. */
export const wallRate = ({ bytes, wall }: Sample): number => bytes / wall

/** How many times one rate the other is, by pairs of the same process and round. Samples without a partner are left out. */
export function ratio(samples: readonly Sample[], over: readonly Sample[]): Figure {
  const partners = new Map(over.map(each => [`${each.process} ${each.round}`, rate(each)]))
  const partner = ({ process, round }: Sample): number => partners.get(`${process} ${round}`) ?? Number.NaN
  const paired = samples.filter(each => !Number.isNaN(partner(each)))
  return overProcesses(paired, each => rate(each) / partner(each))
}
