"""(d) Drawings beside the sprite that was bent to them: what `pairnet.py` reads.

    … python benchmarks/whole/pairs.py 50
"""

import os
WORK = os.environ["WORK"]
from bending import *
t=time.time(); torch.manual_seed(0); torch.set_num_threads(1)
def pairs(P,M,names,K=1,iters=30,G=6,lr=.03,lam=.3):
    out=[]
    for b in range(0,len(names),64):
        k=slice(b,b+64); p,m,nm=P[k],M[k],names[k]; spr,th=[],[]
        for i,n in enumerate(nm):
            (j,q),=starts(p[i],m[i],T.sprites[n],1); spr.append(T.sprites[n][j]);th.append(q)
        spr=torch.stack(spr);th0=torch.stack(th); dth=torch.zeros_like(th0,requires_grad=True); D=torch.zeros(len(nm),2,G,G,requires_grad=True)
        opt=torch.optim.Adam([dth,D],lr)
        def place():
            grid=F.affine_grid(th0+dth,[len(nm),4,64,64],align_corners=False)
            return F.grid_sample(spr,grid+F.interpolate(D,64,mode='bicubic',align_corners=True).permute(0,2,3,1),align_corners=False)
        for it in range(iters):
            a,s,u=residual(place(),p,m)
            bend=((D[:,:,2:]-2*D[:,:,1:-1]+D[:,:,:-2]).square().mean((1,2,3))+(D[:,:,:,2:]-2*D[:,:,:,1:-1]+D[:,:,:,:-2]).square().mean((1,2,3)))
            loss=(-s.sum((1,2))/u.sum((1,2))+10*lam*bend).sum(); opt.zero_grad();loss.backward();opt.step()
        with torch.no_grad():
            pl=place(); c,a=pl[:,:3],pl[:,3:]; st=c/a.clamp_min(1e-3); prod=(c*p*m[:,None]).sum((2,3)); g=(prod/(c*st*m[:,None]).sum((2,3)).clamp_min(1e-6)).clamp(.6,1.4)
            st=(st*g[...,None,None]).clamp(0,1.2)*(a>.02)
            out.append(torch.cat([p,m[:,None],st,a,(p-st)*a],1).half())
        if b%640==0: print(b,round(time.time()-t),flush=True)
    return torch.cat(out)
Q=pairs(*torch.load(f'{WORK}/pm.pt'),names); torch.save(Q,f'{WORK}/pairs_eye.pt'); print('eye pairs',round(time.time()-t),flush=True)
z=np.load(f'{WORK}/train.npz'); n=19*2*int(sys.argv[1]); X,C,B=z['images'][:n],z['cls'][:n],z['bad'][:n]
nm=[CLASSES[c] for c in C]; P,M=prep(X,nm); print('prep',round(time.time()-t),flush=True)
torch.save((pairs(P,M,nm),torch.tensor(C),torch.tensor(B)),f'{WORK}/pairs_train.pt'); print('done',round(time.time()-t))
