sys.path.append(FOLDER)
import named, pickle
from parallelize.serialize.pickling import encode_function

print(encode_function(named.double.__wrapped__)[:13])
print(pickle.loads(pickle.dumps(named.double)) is named.double)
print(outcome(named.double(2)), outcome(named.Thing().method(2)))
print(outcome(named.both(2)), list(named.double.map([1, 2])))
