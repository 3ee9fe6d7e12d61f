results = double.map(waiting(longest=1000))
next(results)
raise SystemExit(3)
