from p1 import *
import resource,gc
m=rm(loss=[RelevanceOutside(),RelevanceConsistency(axis=2)])
for k in range(6):
    for _ in range(15): m.fit(x,y,mask,verbose=0,epochs=2,batch_size=5)
    gc.collect(); print(k,open('/proc/self/statm').read().split()[1], len(gc.get_objects()),flush=True)
def new():
    import weakref
    n=img(); m=rm(n); m.fit(x,y,mask,verbose=0); r=weakref.ref(m); q=weakref.ref(n); del m,n; gc.collect(); return r(),q()
go('freed',new)
