"""(d) A small network that compares a drawing with the sprite that was bent to it, taught on rendered objects.

    … python benchmarks/whole/pairnet.py 14000 1
"""

import os
WORK = os.environ["WORK"]
import torch
from common import *
import time, torch.nn as nn, torch.nn.functional as F
from seediff.mini.yardsticks import Block
from scipy.stats import rankdata
import torch; torch.set_num_threads(1)
Q=torch.load(f'{WORK}/pairs_eye.pt').float(); X,C,B=torch.load(f'{WORK}/pairs_train.pt'); B=B.float(); X=X.float()
class Net(nn.Module):
    def __init__(s,w=(24,48,64)):
        super().__init__(); s.b=nn.Sequential(Block(11,w[0]),Block(w[0],w[0],2),Block(w[0],w[1],2),Block(w[1],w[1]),Block(w[1],w[2],2),Block(w[2],w[2])); s.h=nn.Linear(2*w[2],1)
    def forward(s,x): f=s.b(x); return s.h(F.dropout(torch.cat([f.mean((2,3)),f.amax((2,3))],1),.2,s.training))[:,0]
scores=[]; val=torch.arange(len(X))%(38*5)>=38*4
for seed in range(int(sys.argv[2])):
    torch.manual_seed(seed); n=Net(); steps=int(sys.argv[1])//32; o=torch.optim.AdamW(n.parameters(),2e-3,weight_decay=3e-2); sc=torch.optim.lr_scheduler.OneCycleLR(o,2e-3,total_steps=steps+1,pct_start=.15); r=0;t=time.time()
    tr=torch.nonzero(~val)[:,0]
    for s in range(steps):
        k=tr[torch.randint(len(tr),(32,))]; x=X[k]; f=torch.rand(32,1,1,1)<.5; x=torch.where(f,x.flip(-1),x); x=x+.04*torch.rand(32,1,1,1)*torch.randn_like(x)
        q=torch.rand(32,1,1,1)<.4; x=torch.where(q,F.avg_pool2d(x,3,1,1),x)
        l=F.binary_cross_entropy_with_logits(n(x),1-B[k]); o.zero_grad();l.backward();o.step();sc.step(); r=.97*r+.03*l.item()
        if (s+1)%100==0: print(s+1,round(r,3),round(time.time()-t),flush=True)
    n.eval()
    with torch.no_grad():
        e=((n(Q)+n(Q.flip(-1)))/2).numpy(); v=torch.cat([n(X[val][i:i+64]) for i in range(0,int(val.sum()),64)]).numpy()
    print('seed',seed,'eye',round(auc(e),3),ci(e),'within',round(auc(rel(e)),3),'synthetic held-out',round(auc1(v,B[val].numpy()==0),3),flush=True); scores.append(e)
    torch.save(n.state_dict(),f'{WORK}/pair_{seed}.pt')
e=np.mean(scores,0); d=np.load(f'{WORK}/deform_0.3.npz'); np.save(f'{WORK}/pair_score.npy',e)
print('ensemble',auc(e),ci(e)); c=rankdata(e)+rankdata(d['worstabs7']); print('with worstabs7',auc(c),ci(c)); c=rankdata(e)+rankdata(d['worstabs7'])+rankdata(d['share']); print('with both',auc(c),ci(c))
