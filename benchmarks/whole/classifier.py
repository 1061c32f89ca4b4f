"""(a) The yardstick classifier, taught to tell whole objects from mixed ones at half the side.

    … python benchmarks/whole/classifier.py 16000 1e-3 0
"""

import os
WORK = os.environ["WORK"]
import sys,time,numpy as np,torch,torch.nn.functional as F
from common import *
from seediff.mini.yardsticks import *
from recipes.mini.yardsticks import augment
z=np.load(f'{WORK}/train.npz'); X,C,B=z['images'],torch.tensor(z['cls']),torch.tensor(z['bad']).float()
g=np.load(f'{WORK}/g4.npz')
cls=torch.tensor([CLASSES.index(n) for n in names])
class Half(torch.nn.Module):
    def __init__(s,n): super().__init__(); s.n=n
    def forward(s,x): return s.n(F.avg_pool2d(x,2))
def run(n,im): return (run_batched(n,im)+run_batched(n,im[:,:,::-1].copy()))/2
def evaluate(n,tag):
    n.eval(); with_=run(n,images)[torch.arange(len(cls)),cls].numpy()
    gs=run(n,g['images'])[torch.arange(len(g['cls'])),torch.tensor(g['cls'])].numpy()
    print(tag,'eye',round(auc(with_),3),'within',round(auc(rel(with_)),3),'synthetic',round(auc1(gs,g['bad']==0),3),flush=True); n.train(); return with_
def main(samples,lr,seed=0):
    torch.manual_seed(seed); n=Half(load_classifier()); n.train()
    opt=torch.optim.AdamW(n.parameters(),lr=lr,weight_decay=1e-2); steps=samples//32
    sch=torch.optim.lr_scheduler.OneCycleLR(opt,lr,total_steps=steps+1,pct_start=.15); t=time.time(); run_=0
    for s in range(steps):
        r=np.random.default_rng((seed,s)); k=r.integers(len(X),size=32); gen=torch.Generator().manual_seed(int(r.integers(2**31)))
        px,_=augment(to_pixels(X[k]),B[k],gen)
        out=n(px)[torch.arange(32),C[k]]; loss=F.binary_cross_entropy_with_logits(out,1-B[k])
        opt.zero_grad();loss.backward();opt.step();sch.step(); run_=.97*run_+.03*loss.item()
        if (s+1)%100==0 or s==steps-1:
            print(s+1,round(run_,3),round(time.time()-t),flush=True)
            if (s+1)%200==0 or s==steps-1: w=evaluate(n,f'{s+1}')
    torch.save(n.state_dict(),f'{WORK}/whole_{seed}.pt'); np.save(f'{WORK}/whole_{seed}.npy',w); print('CI',ci(w))
main(int(sys.argv[1]),float(sys.argv[2]),int(sys.argv[3]))
