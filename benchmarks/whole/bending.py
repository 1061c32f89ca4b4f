"""(c) The share that the best sprite explains when it may bend, and its worst place.

    … python benchmarks/whole/bending.py
"""

import os
WORK = os.environ["WORK"]
from common import *
import time, math
import torch.nn.functional as F
from seediff.mini.shapes import *
from seediff.mini.shapes import _placed
from seediff.mini.yardsticks import *
from seediff.mini import shapes
T=read_templates()
def prep(images,names):
    P,M=[],[]
    for image,name,lg in zip(images,names,run_batched(load_segmenter(),images)):
        p=lg[[0,CLASSES.index(name)+1]].softmax(0)[1]
        M.append(F.adaptive_avg_pool2d(p[None],64)[0]); P.append(F.adaptive_avg_pool2d(torch.from_numpy(image).permute(2,0,1).float()/255,64))
    return torch.stack(P),torch.stack(M)
axis=(torch.arange(64)+.5)*2/64-1
def residual(placed,pixels,mask,colour=0.25):
    c,a=placed[:,:3],placed[:,3]
    st=c/a[:,None].clamp_min(1e-3)
    prod=(c*pixels*mask[:,None]).sum((2,3)); g=(prod/(c*st*mask[:,None]).sum((2,3)).clamp_min(1e-6)).clamp(.6,1.4)
    d=((pixels-g[...,None,None]*st).square().mean(1)/colour**2)
    agreed=a*mask*(1-d.clamp_max(1)); u=torch.maximum(a,mask)
    soft=a*mask*torch.exp(-d)   # gradients everywhere
    return agreed,soft,u
def starts(pixels,mask,sprites,K):
    places=torch.tensor([(i,f,math.radians(t),1.,0,0) for i in range(len(sprites)) for f in (1.,-1.) for t in TURNS])
    alpha=sprites[:,3]; w=alpha.sum((1,2))
    cen=torch.stack([(alpha.sum(1)*axis).sum(1)/w,(alpha.sum(2)*axis).sum(1)/w],1); area=mask.sum()
    tgt=torch.stack([(mask.sum(0)*axis).sum()/area,(mask.sum(1)*axis).sum()/area]); sz=(area/w).sqrt()
    k=places[:,0].long()
    pl=_placed(sprites[k],cen[k],sz[k],places[:,1],places[:,2],tgt+places[:,4:])
    a,_,u=residual(pl,pixels[None].expand(len(k),-1,-1,-1),mask[None].expand(len(k),-1,-1)); v=a.sum((1,2))/u.sum((1,2))
    out=[];seen=set()
    for j in v.argsort(descending=True).tolist():
        key=(int(k[j]),float(places[j,1]))
        if key in seen: continue
        seen.add(key)
        s=sz[k[j]]; th=places[j,2]; m=places[j,1]
        R=torch.stack([torch.stack([th.cos()*m/s,th.sin()*m/s]),torch.stack([-th.sin()/s,th.cos()/s])])
        out.append((int(k[j]),torch.cat([R,(cen[k[j]]-R@tgt)[:,None]],1)))
        if len(out)==K: break
    return out
def fit(P,M,names,K=4,iters=100,lam=1.0,G=6,lr=0.02,T=T):
    idx,spr,th=[],[],[]
    for i,n in enumerate(names):
        for k,t in starts(P[i],M[i],T.sprites[n],K): idx.append(i);spr.append(T.sprites[n][k]);th.append(t)
    idx=torch.tensor(idx);spr=torch.stack(spr);th0=torch.stack(th)
    p,m=P[idx],M[idx]
    dth=torch.zeros_like(th0,requires_grad=True); D=torch.zeros(len(idx),2,G,G,requires_grad=True)
    opt=torch.optim.Adam([{'params':[dth],'lr':lr},{'params':[D],'lr':lr}])
    def place():
        grid=F.affine_grid(th0+dth,[len(idx),4,64,64],align_corners=False)
        disp=F.interpolate(D,64,mode='bicubic',align_corners=True).permute(0,2,3,1)
        return F.grid_sample(spr,grid+disp,align_corners=False)
    def bend():
        return ((D[:,:,2:]-2*D[:,:,1:-1]+D[:,:,:-2]).square().mean((1,2,3))+(D[:,:,:,2:]-2*D[:,:,:,1:-1]+D[:,:,:,:-2]).square().mean((1,2,3)))
    for it in range(iters):
        a,s,u=residual(place(),p,m)
        loss=(-s.sum((1,2))/u.sum((1,2))+lam*bend()*10).sum()
        opt.zero_grad();loss.backward();opt.step()
    with torch.no_grad():
        a,s,u=residual(place(),p,m); share=s.sum((1,2))/u.sum((1,2)); b=bend()
        hard=a.sum((1,2))/u.sum((1,2))
        miss=u-s; out={}
        out['share']=share;out['hard']=hard;out['bend']=b;out['share-bend']=share-lam*10*b
        for w in (7,11,15): out[f'worst{w}']=-F.avg_pool2d(miss[:,None],w,1).amax((1,2,3))*w*w/ m.sum((1,2))
        for w in (7,11): out[f'worstabs{w}']=-F.avg_pool2d(miss[:,None],w,1).amax((1,2,3))
    best={}
    for key,v in out.items():
        r=torch.full((len(names),),-9.); r.scatter_reduce_(0,idx,v,'amax') if key!='bend' else None
        best[key]=r.numpy()
    # values at the best by share-bend
    sel=[max((j for j in range(len(idx)) if idx[j]==i),key=lambda j:float(out['share-bend'][j])) for i in range(len(names))]
    for key,v in out.items(): best['@'+key]=v[sel].numpy()*(-1 if key=='bend' else 1)
    return best
if __name__=='__main__':
    torch.manual_seed(0); P,M=prep(images,names)
    torch.save((P,M),f'{WORK}/pm.pt')
    for lam in (0.3,1,3):
        t=time.time(); o=fit(P,M,names,lam=lam)
        print('lam',lam,round(time.time()-t),{k:round(auc(v),3) for k,v in o.items() if k!='bend'},flush=True)
        np.savez(f'{WORK}/deform_{lam}.npz',**o)
