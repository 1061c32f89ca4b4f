"""(b) Distances of patches to those of rendered objects of the class, in features of the backbone and of the classifier.

    … python benchmarks/whole/neighbours.py
"""

import os
WORK = os.environ["WORK"]
import sys,time
from common import *
import torch.nn.functional as F
from seediff.mini.yardsticks import *
from transformers import ResNetBackbone
from seediff.train.models import MEAN,STD,TINY
z=np.load(f'{WORK}/train.npz'); X,C,B=z['images'],z['cls'],z['bad']
bb=ResNetBackbone.from_pretrained(str(TINY),out_features=["stage1","stage2","stage3","stage4"]).float().eval()
cl=load_classifier(); sg=load_segmenter()
def unit(m): return m/m.flatten(1).norm(dim=1).mean() if False else F.normalize(m,dim=1)
@torch.inference_mode()
def feats(im):
    px=to_pixels(im); s=((px+1)/2-torch.tensor(MEAN)[:,None,None])/torch.tensor(STD)[:,None,None]
    m=bb(s).feature_maps; out={}
    up=lambda a,n=8:F.interpolate(F.avg_pool2d(a,3,1,1),(n,n),mode='bilinear')
    out['tiny23']=torch.cat([unit(up(m[1])),unit(up(m[2]))],1)
    out['tiny3']=unit(up(m[2],8)); out['tiny4']=unit(up(m[3],4))
    x=px; hs=[]
    for l in cl.body: x=l(x); hs.append(x)
    out['clf16']=torch.cat([unit(up(hs[-3])),unit(up(hs[-1]))],1)
    out['clf8']=unit(up(hs[-1],8))
    return out
def allf(im): 
    o=[feats(im[i:i+50]) for i in range(0,len(im),50)]; return {k:torch.cat([a[k] for a in o]) for k in o[0]}
t=time.time(); res={}
W=B==0
for c,name in enumerate(CLASSES):
    k=np.flatnonzero(W&(C==c)); bank,cal=k[:60],k[60:80]
    q=[i for i,n in enumerate(names) if n==name]
    fb=allf(X[bank]); fc=allf(X[cal]); fq=allf(images[q])
    for f in fb:
        M=fb[f].permute(0,2,3,1).reshape(-1,fb[f].shape[1])
        def dist(a):
            n=a.shape[2]; d=torch.cdist(a.permute(0,2,3,1).reshape(len(a),-1,a.shape[1]),M[None]).amin(2)
            s=d.sort(1,descending=True).values; return {'max':s[:,0],'top5%':s[:,:max(1,n*n//20)].mean(1),'top20%':s[:,:max(1,n*n//5)].mean(1),'mean':s.mean(1)}
        a,b=dist(fc[f]),dist(fq[f])
        for st in a:
            res.setdefault((f,st,'raw'),np.zeros(len(names)))[q]=-b[st].numpy()
            res.setdefault((f,st,'z'),np.zeros(len(names)))[q]=-((b[st]-a[st].mean())/a[st].std()).numpy()
    print(name,round(time.time()-t),flush=True)
for k,v in res.items(): print(k,round(auc(v),3),round(auc(rel(v)),3))
best=max(res,key=lambda k:auc(res[k])); print(best,ci(res[best]))
import pickle; pickle.dump(res,open(f'{WORK}/nn.pkl','wb'))
