results = double.map(waiting(longest=1000))
print(next(results), next(results))
